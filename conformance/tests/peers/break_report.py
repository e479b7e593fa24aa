"""Writes one defective report for each deliberate defect: break_report.py REPORT FOLDER; prints their names as JSON."""

import copy
import json
import sys
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

# On bytes, since pydicom would not write it: a Latin letter with no character set declared.
IN_BYTES = {"name_without_character_set": (b"Doe^Jane", b"D\xf6e^Jane")}


def children(report):
    return report.ContentSequence


def named(parent, value):
    found = [i for i in parent.ContentSequence if "ConceptNameCodeSequence" in i and i.ConceptNameCodeSequence[0].CodeValue == value]
    return found[0]


def drop(parent, value):
    parent.ContentSequence.remove(named(parent, value))


def contours(report):
    return [g for g in named(report, "126010").ContentSequence if any(i.ValueType == "SCOORD" for i in g.ContentSequence)]


def region(report):
    return next(i for i in contours(report)[0].ContentSequence if i.ValueType == "SCOORD")


def function(report):
    return named(report, "126010").ContentSequence[0]


def lvef(report):
    return named(function(report), "18043-0")


def evidence(report):
    return report.CurrentRequestedProcedureEvidenceSequence[0]


def instances(report):
    return evidence(report).ReferencedSeriesSequence[0].ReferencedSOPSequence


def no_evidence(r):
    del r.CurrentRequestedProcedureEvidenceSequence


def image_not_in_evidence(r):
    instances(r).pop(0)


def evidence_of_another_study(r):
    evidence(r).StudyInstanceUID = generate_uid()


def evidence_listed_twice(r):
    instances(r).append(copy.deepcopy(instances(r)[0]))


def no_verification_flag(r):
    del r.VerificationFlag


def verified_by_nobody(r):
    r.VerificationFlag = "VERIFIED"


def no_series_number(r):
    del r.SeriesNumber


def no_performed_step(r):
    del r.ReferencedPerformedProcedureStepSequence


def modality_of_the_images(r):
    r.Modality = "US"


def number_without_unit(r):
    del lvef(r).MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def number_without_value(r):
    lvef(r).MeasuredValueSequence = []


def number_that_is_too_long(r):
    value = lvef(r).MeasuredValueSequence[0]
    value["NumericValue"] = pydicom.DataElement("NumericValue", "LO", "58.4800000000000001")
    value["NumericValue"].VR = "DS"


def unit_in_words(r):
    lvef(r).MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "percent"


def bogus_code(r):
    lvef(r).ConceptNameCodeSequence[0].CodeValue = "10230-1"


def wrong_meaning(r):
    named(function(r), "363698007").ConceptCodeSequence[0].CodeMeaning = "Right ventricle"


def region_inferred_from_image(r):
    region(r).ContentSequence[0].RelationshipType = "INFERRED FROM"


def number_contains_image(r):
    next(i for i in lvef(r).ContentSequence if i.ValueType == "IMAGE").RelationshipType = "CONTAINS"


def odd_graphic_data(r):
    region(r).GraphicData = list(region(r).GraphicData)[:-1]


def open_polyline(r):
    region(r).GraphicData = list(region(r).GraphicData)[:-2]


def point_outside(r):
    data = list(region(r).GraphicData)
    data[2] = 4000.0
    region(r).GraphicData = data


def frame_zero(r):
    region(r).ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 0


def region_on_two_frames(r):
    region(r).ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber = [2, 14]


def no_tracking_uid(r):
    drop(contours(r)[0], "112040")


def shared_tracking_uid(r):
    first, second = contours(r)[:2]
    named(second, "112040").UID = named(first, "112040").UID


def no_tracking_identifier(r):
    drop(contours(r)[0], "112039")


def no_observer(r):
    drop(r, "121005")


def no_observer_uid(r):
    drop(r, "121012")


def no_root_template(r):
    del r.ContentTemplateSequence


def no_group_template(r):
    del contours(r)[0].ContentTemplateSequence


def no_algorithm_version(r):
    drop(function(r), "111003")


def language_of_another_standard(r):
    named(r, "121049").ConceptCodeSequence[0].CodeValue = "eng"


def no_ai_statement(r):
    named(r, "C0034375").ContentSequence.pop(0)


def research_not_marked(r):
    del r.ContentQualification


def no_device_uid(r):
    del r.ContributingEquipmentSequence[0].DeviceUID


def section(report):
    return named(report, "121070")


def echo_group(report):
    return named(section(report), "125007")


def no_finding_site(r):
    drop(section(r), "363698007")


def no_image_mode(r):
    drop(echo_group(r), "399264008")


def no_method(r):
    drop(named(echo_group(r), "18026-5"), "370129005")


def no_cycle_point(r):
    drop(named(echo_group(r), "18026-5"), "272518008")


def site_contained(r):
    named(section(r), "363698007").RelationshipType = "CONTAINS"


def no_section_template(r):
    del section(r).ContentTemplateSequence


def older_code_newer_scheme(r):
    named(section(r), "363698007").ConceptCodeSequence[0].CodeValue = "T-32600"


OF_AN_ECHO_REPORT = [
    no_finding_site, no_image_mode, no_method, no_cycle_point, site_contained, no_section_template,
    older_code_newer_scheme,
]

DEFECTS = [
    no_evidence, image_not_in_evidence, evidence_of_another_study, evidence_listed_twice, no_verification_flag,
    verified_by_nobody, no_series_number, no_performed_step, modality_of_the_images, number_without_unit,
    number_without_value, number_that_is_too_long, unit_in_words, bogus_code, wrong_meaning,
    region_inferred_from_image, number_contains_image, odd_graphic_data, open_polyline, point_outside, frame_zero,
    region_on_two_frames, no_tracking_uid, shared_tracking_uid, no_tracking_identifier, no_observer,
    no_observer_uid, no_root_template, no_group_template, no_algorithm_version, language_of_another_standard, no_ai_statement,
    research_not_marked, no_device_uid,
]

source, echo, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
for defect in DEFECTS:
    report = pydicom.dcmread(source)
    defect(report)
    report.save_as(folder / f"{defect.__name__}.dcm")
for defect in OF_AN_ECHO_REPORT:
    report = pydicom.dcmread(echo)
    defect(report)
    report.save_as(folder / f"{defect.__name__}.dcm")
for name, (before, after) in IN_BYTES.items():
    whole = Path(source).read_bytes()
    assert whole.count(before) == 1
    (folder / f"{name}.dcm").write_bytes(whole.replace(before, after))
print(json.dumps([defect.__name__ for defect in DEFECTS + OF_AN_ECHO_REPORT] + list(IN_BYTES)))
