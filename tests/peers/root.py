"""Prints SOP class, transfer syntax and root template (empty: no SR) of an object as JSON: root.py FILE."""

import json
import sys

import pydicom

report = pydicom.dcmread(sys.argv[1])
templates = report.get("ContentTemplateSequence", [])
print(
    json.dumps(
        {
            "class": report.SOPClassUID,
            "syntax": report.file_meta.TransferSyntaxUID,
            "template": templates[0].TemplateIdentifier if templates else "",
        }
    )
)
