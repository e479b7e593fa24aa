"""A PACS that stores everything and answers storage commitment in its own way.

committing_pacs.py PORT FOLDER NODE_PORT MODE, where MODE is
  late       answers after a while, on a new association, under another AE title
  same       answers on the association of the request
  refusing   offers no storage commitment; finds what it stores
  silent     takes requests and never answers; finds what it stores
  forgetful  takes requests and never answers; finds nothing
  denying    says once that it lacks the object, then commits

What it did goes to FOLDER/../events.jsonl, one line each.
"""

import json
import sys
import threading
import time
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    build_role,
    evt,
)
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

port, folder, node_port, mode = sys.argv[1:]
folder = Path(folder)
held = {}
denied = set()


def note(what, **more):
    with open(folder.parent / "events.jsonl", "a") as log:
        log.write(json.dumps({"what": what, **more}) + "\n")


def store(event):
    uid = str(event.request.AffectedSOPInstanceUID)
    (folder / f"{uid}.dcm").write_bytes(event.encoded_dataset())
    held[uid] = event.dataset.SeriesInstanceUID
    note("stored", uid=uid)
    return 0x0000


def result_of(request):
    """The event information: what is held is committed."""
    result = Dataset()
    result.TransactionUID = request.TransactionUID
    committed, failed = [], []
    for item in request.ReferencedSOPSequence:
        uid = item.ReferencedSOPInstanceUID
        known = uid in held and not (mode == "denying" and uid not in denied)
        denied.add(uid)
        one = Dataset()
        one.ReferencedSOPClassUID = item.ReferencedSOPClassUID
        one.ReferencedSOPInstanceUID = uid
        if known:
            committed.append(one)
        else:
            one.FailureReason = 0x0112
            failed.append(one)
    if committed:
        result.ReferencedSOPSequence = committed
    if failed:
        result.FailedSOPSequence = failed
    return result, 2 if failed else 1


def answer(association, result, kind):
    status, _ = association.send_n_event_report(
        result, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    note("answered", status=status.get("Status"), kind=kind)


def answer_anew(result, kind, title):
    time.sleep(1)
    ae = AE(ae_title=title)
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = ae.associate("127.0.0.1", int(node_port), ae_title="SONODE", ext_neg=[role])
    if not association.is_established:
        note("rejected")
        return
    answer(association, result, kind)
    # Once more: its response might have been lost.
    answer(association, result, kind)
    association.release()


def action(event):
    request = event.action_information
    note("asked", objects=len(request.ReferencedSOPSequence))
    if mode not in ("silent", "forgetful"):
        result, kind = result_of(request)
        if mode == "late":
            target, arguments = answer_anew, (result, kind, "ARCHIVE")
        else:
            target, arguments = answer, (event.assoc, result, kind)
        threading.Timer(0.2, target, arguments).start()
    return 0x0000, None


def find(event):
    query = event.identifier
    note("queried", level=query.QueryRetrieveLevel)
    series = held.get(query.SOPInstanceUID)
    if mode != "forgetful" and series is not None and series == query.SeriesInstanceUID:
        found = Dataset()
        found.QueryRetrieveLevel = "IMAGE"
        found.SOPInstanceUID = query.SOPInstanceUID
        yield 0xFF00, found
    yield 0x0000, None


ae = AE(ae_title=mode.upper())
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
ae.add_supported_context(Verification)
ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
if mode != "refusing":
    ae.add_supported_context(StorageCommitmentPushModel)
handlers = [(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, action), (evt.EVT_C_FIND, find)]
ae.start_server(("127.0.0.1", int(port)), evt_handlers=handlers)
