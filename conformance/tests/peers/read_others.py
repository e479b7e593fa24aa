"""Reads key objects and echo reports with highdicom and prints what it finds of each, as JSON by file name: the numbers of
a tree, the references of a key object, or why it refuses the class."""

import json
import sys
from pathlib import Path

import highdicom
import pydicom

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


def numbers(items):
    found = []
    for item in items:
        if item.ValueType == "NUM":
            found.append([item.name.value, float(item.value), item.unit.value])
        found += numbers(item.get("ContentSequence", []))
    return found


def references(path):
    document = highdicom.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(path))
    items = document.content.get_references()
    return [
        [item.referenced_sop_instance_uid, item.referenced_frame_numbers or [], len(document.resolve_reference(item.referenced_sop_instance_uid))]
        for item in items
    ]


def read(path):
    if pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID == KEY_OBJECT_SELECTION:
        return {"references": references(path)}
    try:
        return {"numbers": numbers(highdicom.sr.srread(path).content)}
    except (ValueError, RuntimeError) as refusal:
        return {"refused": str(refusal)}


print(json.dumps({Path(path).stem: read(path) for path in sys.argv[1:]}))
