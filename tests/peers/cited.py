"""Prints what a report names as evidence, and its comments with the objects that they are inferred from, as JSON."""

import json
import sys

import pydicom

report = pydicom.dcmread(sys.argv[1])
evidence = [
    str(instance.ReferencedSOPInstanceUID)
    for study in report.get("CurrentRequestedProcedureEvidenceSequence", [])
    for series in study.ReferencedSeriesSequence
    for instance in series.ReferencedSOPSequence
]
comments = []


def walk(item):
    if item.get("ValueType") == "TEXT":
        cited = [
            str(child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            for child in item.get("ContentSequence", [])
            if child.ValueType == "COMPOSITE"
        ]
        comments.append({"text": item.TextValue, "cited": cited})
    for child in item.get("ContentSequence", []):
        walk(child)


walk(report)
print(json.dumps({"evidence": evidence, "comments": comments}))
