"""A cart that reports its performed procedure step: mpps_cart.py NODE_PORT TITLE FILE...

N-CREATE, then the files by C-STORE, then N-SET with all that it sent. Prints the statuses as JSON."""

import json
import sys

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, _config
from pynetdicom.sop_class import ModalityPerformedProcedureStep

node_port, title, *paths = sys.argv[1:]
_config.STORE_SEND_CHUNKED_DATASET = True
files = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]

ae = AE(ae_title=title)
ae.add_requested_context(ModalityPerformedProcedureStep)
for meta in {(f.file_meta.MediaStorageSOPClassUID, f.file_meta.TransferSyntaxUID) for f in files}:
    ae.add_requested_context(*meta)
association = ae.associate("127.0.0.1", int(node_port), ae_title="SONODE")
if not association.is_established:
    sys.exit("the association was not accepted")
accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
if ModalityPerformedProcedureStep not in accepted:
    association.release()
    print(json.dumps({"accepted": False}))
    sys.exit()

step = generate_uid()
scheduled = Dataset()
scheduled.StudyInstanceUID = files[0].StudyInstanceUID
create = Dataset()
create.PerformedProcedureStepStatus = "IN PROGRESS"
create.PerformedProcedureStepID = "1"
create.PerformedStationAETitle = title
create.PerformedProcedureStepStartDate = "20260101"
create.PerformedProcedureStepStartTime = "120000"
create.Modality = "US"
create.ScheduledStepAttributesSequence = [scheduled]
create.PerformedSeriesSequence = []


def status(answer):
    return answer[0].get("Status")


created = status(association.send_n_create(create, ModalityPerformedProcedureStep, step))
again = status(association.send_n_create(create, ModalityPerformedProcedureStep, step))
stored = [association.send_c_store(path).get("Status") for path in paths]

series = Dataset()
series.SeriesInstanceUID = files[0].SeriesInstanceUID
series.ReferencedImageSequence = []
for one in files:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    series.ReferencedImageSequence.append(item)
ended = Dataset()
ended.PerformedProcedureStepStatus = "COMPLETED"
ended.PerformedSeriesSequence = [series]
set_status = status(association.send_n_set(ended, ModalityPerformedProcedureStep, step))
late = status(association.send_n_set(ended, ModalityPerformedProcedureStep, step))
unknown = status(association.send_n_set(ended, ModalityPerformedProcedureStep, generate_uid()))
association.release()
print(
    json.dumps(
        {
            "accepted": True,
            "created": created,
            "again": again,
            "stored": stored,
            "set": set_status,
            "late": late,
            "unknown": unknown,
        }
    )
)
