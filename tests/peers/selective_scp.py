"""A PACS that takes what it is told to: selective_scp.py PORT FOLDER [CLASS@SYNTAX ...]; C-ECHO always.

It prints a line for each association that asks for something to be stored.
"""

import sys
from pathlib import Path

from pynetdicom import AE, evt

port, folder, *accepted = sys.argv[1:]


def store(event):
    # encode_dataset keeps the data set's own bytes.
    path = Path(folder) / f"{event.request.AffectedSOPInstanceUID}.dcm"
    path.write_bytes(event.encoded_dataset())
    return 0x0000


def accepted_association(event):
    if len(event.assoc.requestor.requested_contexts) > 1:
        print("association", flush=True)


ae = AE(ae_title="SELECTIVE")
ae.add_supported_context("1.2.840.10008.1.1")
for pair in accepted:
    sop_class, syntax = pair.split("@")
    ae.add_supported_context(sop_class, syntax)
ae.start_server(("127.0.0.1", int(port)), evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accepted_association)])
