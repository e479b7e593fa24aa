"""Reads TID 1500 reports with highdicom and prints what a viewer would get from each, as JSON by file name."""

import json
import sys
from pathlib import Path

import highdicom


def measurement(item):
    method = item.method
    derivation = item.derivation
    return {
        "code": item.name.value,
        "value": float(item.value),
        "unit": item.unit.value,
        "method": method.value if method else None,
        "derivation": derivation.value if derivation else None,
        "frames": [image.referenced_frame_numbers or [] for image in item.referenced_images],
    }


def group(item):
    return {
        "tracking_identifier": item.tracking_identifier,
        "tracking_uid": item.tracking_uid,
        "finding": item.finding_type.value,
        "sites": [site.value.value if hasattr(site.value, "value") else site.value for site in item.finding_sites],
        "measurements": [measurement(m) for m in item.get_measurements()],
        "evaluations": [[e.name.value, e.value.value] for e in item.get_qualitative_evaluations()],
    }


def contour(item):
    region = item.roi
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    return group(item) | {
        "graphic_type": region.graphic_type.value,
        "points": region.value.tolist(),
        "image": image.ReferencedSOPInstanceUID,
        "frame": int(image.ReferencedFrameNumber),
    }


def report(path):
    document = highdicom.sr.srread(path)
    content = document.content
    return {
        "sop_class": document.SOPClassUID,
        "patient_name": str(document.PatientName),
        "referring_physician": str(document.ReferringPhysicianName),
        "contours": [contour(g) for g in content.get_planar_roi_measurement_groups()],
        "functions": [group(g) for g in content.get_image_measurement_groups()],
        "device_uids": [
            item.UID
            for item in content[0].ContentSequence
            if item.ValueType == "UIDREF" and item.name.value == "121012"
        ],
    }


print(json.dumps({Path(path).stem: report(path) for path in sys.argv[1:]}))
