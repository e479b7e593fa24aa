"""Prints character set and patient's name of SRs, its bytes in hexadecimal, as JSON: names.py FILE..."""

import json
import sys

import pydicom
from pydicom import config

config.settings.reading_validation_mode = config.IGNORE


def told(path):
    report = pydicom.dcmread(path)
    # As it stands in the file; what pydicom has decoded it would encode anew.
    raw = report.get_item("PatientName").value or b""
    charset = report.get("SpecificCharacterSet", "") or ""
    return {
        "study": report.StudyInstanceUID,
        "charset": charset if isinstance(charset, str) else "\\".join(charset),
        "raw": raw.strip().hex(),
    }


print(json.dumps([told(path) for path in sys.argv[1:]]))
