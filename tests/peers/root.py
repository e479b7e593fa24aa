"""Prints SOP class, transfer syntax and root template of an SR as JSON: root.py FILE."""

import json
import sys

import pydicom

report = pydicom.dcmread(sys.argv[1])
print(
    json.dumps(
        {
            "class": report.SOPClassUID,
            "syntax": report.file_meta.TransferSyntaxUID,
            "template": report.ContentTemplateSequence[0].TemplateIdentifier,
        }
    )
)
