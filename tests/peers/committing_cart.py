"""A cart that sends files and asks for storage commitment of them.

committing_cart.py NODE_PORT OWN_PORT TITLE MODE MISSING FILE..., where MODE is
  stay    stays for the answer on the association of its request
  leave   leaves, and is called for the answer; it answers no role selection
  roles   leaves, and is called for the answer; it answers the role selection

MISSING is a SOP Instance UID that it asks for and never sends; empty: none. Prints one JSON line for each thing that
happens, the answer last.
"""

import json
import sys
import threading

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

node_port, own_port, title, mode, missing, *paths = sys.argv[1:]
_config.STORE_SEND_CHUNKED_DATASET = True
done = threading.Event()


def note(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


def told(event):
    info = event.event_information
    note(
        "told",
        same_association=event.assoc.is_requestor,
        kind=event.event_type,
        transaction=info.TransactionUID,
        retrieve=str(info.get("RetrieveAETitle", "")),
        committed=[str(i.ReferencedSOPInstanceUID) for i in info.get("ReferencedSOPSequence", [])],
        failed=[[str(i.ReferencedSOPInstanceUID), i.FailureReason] for i in info.get("FailedSOPSequence", [])],
    )
    done.set()
    return 0x0000, None


handlers = [(evt.EVT_N_EVENT_REPORT, told)]
if mode != "stay":
    server = AE(ae_title=title)
    if mode == "roles":
        server.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    else:
        server.add_supported_context(StorageCommitmentPushModel)
    server.start_server(("127.0.0.1", int(own_port)), block=False, evt_handlers=handlers)

files = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
ae = AE(ae_title=title)
# It waits for longer than a minute.
ae.network_timeout = 300
ae.add_requested_context(StorageCommitmentPushModel)
for meta in {(f.file_meta.MediaStorageSOPClassUID, f.file_meta.TransferSyntaxUID) for f in files}:
    ae.add_requested_context(*meta)
association = ae.associate("127.0.0.1", int(node_port), ae_title="SONODE", evt_handlers=handlers)
if not association.is_established:
    sys.exit("the association was not accepted")
note("stored", statuses=[association.send_c_store(path).get("Status") for path in paths])

accepted = {str(c.abstract_syntax) for c in association.accepted_contexts}
if StorageCommitmentPushModel not in accepted:
    note("refused")
    association.release()
    sys.exit()
request = Dataset()
request.TransactionUID = generate_uid()
request.ReferencedSOPSequence = []
for sop_class, uid in [(f.SOPClassUID, f.SOPInstanceUID) for f in files]:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    request.ReferencedSOPSequence.append(item)
if missing:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = files[0].SOPClassUID, missing
    request.ReferencedSOPSequence.append(item)
status, _ = association.send_n_action(
    request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
)
note("asked", status=status.get("Status"), transaction=request.TransactionUID)
if mode != "stay":
    association.release()
done.wait(180)
if mode == "stay":
    association.release()
