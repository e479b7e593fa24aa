"""Prints what the tests need to know of DICOM files, one JSON object a file, in a list."""

import json
import sys

import pydicom

print(
    json.dumps(
        [
            {
                "study": str(data_set.StudyInstanceUID),
                "sop_instance": str(data_set.SOPInstanceUID),
                "patient_name": str(data_set.get("PatientName", "")),
                "patient_id": str(data_set.get("PatientID", "")),
            }
            for data_set in (pydicom.dcmread(path, stop_before_pixels=True) for path in sys.argv[1:])
        ]
    )
)
