"""Reads a TID 1500 report with highdicom and pydicom and prints what a viewer would get from it, as JSON."""

import json
import sys

import highdicom
import pydicom

LVEF, EDV, ESV = ("18043-0", "LN"), ("18026-5", "LN"), ("18148-7", "LN")
MEASUREMENT_GROUP = ("125007", "DCM")
TRACKING_UID = ("112040", "DCM")
CARDIAC_CYCLE_POINT = ("272518008", "SCT")
PHASES = {"416190007": "ED", "416430001": "ES"}


def code(item):
    """The concept name's value and scheme; none for an item that has none."""
    name = item.get("ConceptNameCodeSequence")
    return (name[0].CodeValue, name[0].CodingSchemeDesignator) if name else None


def descendants(item):
    for child in item.get("ContentSequence", []):
        yield child
        yield from descendants(child)


def number(root, concept):
    found = [i for i in descendants(root) if i.ValueType == "NUM" and code(i) == concept]
    if not found:
        return None
    value = found[0].MeasuredValueSequence[0]
    return {"value": float(value.NumericValue), "unit": value.MeasurementUnitsCodeSequence[0].CodeValue}


def contours(root):
    for group in descendants(root):
        if group.ValueType != "CONTAINER" or code(group) != MEASUREMENT_GROUP:
            continue
        uids = [i.UID for i in group.ContentSequence if code(i) == TRACKING_UID]
        points = [i for i in descendants(group) if code(i) == CARDIAC_CYCLE_POINT]
        phases = {PHASES.get(i.ConceptCodeSequence[0].CodeValue) for i in points}
        for region in (i for i in group.ContentSequence if i.ValueType == "SCOORD"):
            image = region.ContentSequence[0].ReferencedSOPSequence[0]
            data = [float(v) for v in region.GraphicData]
            yield {
                "graphic_type": region.GraphicType,
                "points": list(zip(data[0::2], data[1::2])),
                "image": image.ReferencedSOPInstanceUID,
                "frame": int(image.ReferencedFrameNumber),
                "phase": phases.pop() if len(phases) == 1 else None,
                "tracking_uid": uids[0] if uids else None,
            }


path = sys.argv[1]
report = pydicom.dcmread(path)
# A consumer of its own kind: it refuses what isn't a readable TID 1500.
groups = highdicom.sr.srread(path).content.get_planar_roi_measurement_groups()
print(
    json.dumps(
        {
            "sop_class": report.SOPClassUID,
            "sop_instance": report.SOPInstanceUID,
            "study": report.StudyInstanceUID,
            "patient_name": str(report.PatientName),
            "patient_id": report.PatientID,
            "series_description": report.get("SeriesDescription", ""),
            "verification": report.VerificationFlag,
            "content_qualification": report.get("ContentQualification", ""),
            "evidence": [
                instance.ReferencedSOPInstanceUID
                for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
                for study in report.get(name, [])
                for series in study.ReferencedSeriesSequence
                for instance in series.ReferencedSOPSequence
            ],
            "lvef": number(report, LVEF),
            "edv": number(report, EDV),
            "esv": number(report, ESV),
            "contours": list(contours(report)),
            "planar_groups": len(groups),
        }
    )
)
