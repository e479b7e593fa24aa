"""Writes the report that a cart would send with a study: cart_report.py IMAGE OUT 5200|5300|1500 LVEF.

5200 is written as old carts do it, in SRT, every value twice; 5300 flat, in LOINC; 1500 by highdicom."""

import datetime
import sys

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

image = pydicom.dcmread(sys.argv[1], stop_before_pixels=True)
kind, fraction = sys.argv[3:5]


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(relationship, value_type, name, children=()):
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = [code(*name)]
    if children:
        item.ContentSequence = list(children)
    return item


def coded(name, value, relationship="HAS CONCEPT MOD"):
    item = content(relationship, "CODE", name)
    item.ConceptCodeSequence = [code(*value)]
    return item


def container(name, children):
    item = content("CONTAINS", "CONTAINER", name, children)
    item.ContinuityOfContent = "SEPARATE"
    return item


def number(name, value, unit, children=()):
    item = content("CONTAINS", "NUM", name, children)
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
    item.MeasuredValueSequence = [measured]
    return item


LVEF = ("18043-0", "LN", "Left Ventricular Ejection Fraction by US")
EDV = ("18026-5", "LN", "Left Ventricular End Diastolic Volume")
ESV = ("18148-7", "LN", "Left Ventricular End Systolic Volume")


def tid_5200():
    biplane = coded(("G-C036", "SRT", "Measurement Method"), ("125207", "DCM", "Method of Disks, Biplane"))
    chosen = coded(("121404", "DCM", "Selection Status"), ("121412", "DCM", "Mean value chosen"), "HAS PROPERTIES")
    patient = container(
        ("121118", "DCM", "Patient Characteristics"),
        [
            number(("8302-2", "LN", "Patient Height"), "170", "cm"),
            number(("29463-7", "LN", "Patient Weight"), "70", "kg"),
        ],
    )
    values = []
    for name, value, unit in ((LVEF, fraction, "%"), (EDV, "118", "ml"), (ESV, "49.8", "ml")):
        values.append(number(name, "33", unit, [biplane]))
        values.append(number(name, value, unit, [biplane, chosen]))
    values.append(number(("8867-4", "LN", "Heart rate"), "65", "{H.B.}/min"))
    site = coded(("G-C0E3", "SRT", "Finding Site"), ("T-32600", "SRT", "Left Ventricle"))
    group = container(("125007", "DCM", "Measurement Group"), values)
    return [patient, container(("121070", "DCM", "Findings"), [site, group])]


def tid_5300():
    values = [
        number(("79991-6", "LN", "Left ventricular ejection fraction biplane (MOD)"), fraction, "%"),
        number(("79996-5", "LN", "Left ventricular end diastolic volume biplane (MOD)"), "118", "ml"),
        number(("80001-1", "LN", "Left ventricular end systolic volume biplane (MOD)"), "49.8", "ml"),
        number(("8277-6", "LN", "BSA"), "1.81", "m2"),
    ]
    return [container(("125301", "DCM", "Pre-coordinated Measurements"), values)]


def by_hand(children, sop_class, template):
    report = Dataset()
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        setattr(report, name, image.get(name, ""))
    report.SOPClassUID, report.SOPInstanceUID = sop_class, generate_uid()
    report.SeriesInstanceUID, report.Modality = generate_uid(), "SR"
    report.Manufacturer, report.ManufacturerModelName = "GE Vingmed", "Vivid T8"
    report.SeriesNumber, report.InstanceNumber = 90, 1
    now = datetime.datetime(2026, 11, 21, 10, 15)
    report.ContentDate, report.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [code("125200", "DCM", "Adult Echocardiography Procedure Report")]
    reference = Dataset()
    reference.MappingResource, reference.TemplateIdentifier = "DCMR", template
    report.ContentTemplateSequence = [reference]
    report.ContentSequence = children
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.file_meta.MediaStorageSOPClassUID = sop_class
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    return report


def by_highdicom():
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    concept = lambda value, scheme, meaning: CodedConcept(value, scheme, meaning)
    device = hd.sr.ObserverContext(
        observer_type=concept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=generate_uid()),
    )
    numbers = [
        hd.sr.Measurement(name=concept(*name), value=value, unit=concept(unit, "UCUM", unit))
        for name, value, unit in ((LVEF, float(fraction), "%"), (EDV, 118.0, "ml"), (ESV, 49.8, "ml"))
    ]
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=generate_uid(), identifier="LV"),
        finding_type=concept("87878005", "SCT", "Left ventricle"),
        measurements=numbers,
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )
    content_tree = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
        procedure_reported=concept("433236007", "SCT", "Transthoracic echocardiography"),
        imaging_measurements=[group],
    )
    return hd.sr.ComprehensiveSR(
        evidence=[image],
        content=content_tree[0],
        series_number=90,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="GE Vingmed",
    )


if kind == "5200":
    report = by_hand(tid_5200(), "1.2.840.10008.5.1.4.1.1.88.33", "5200")
elif kind == "5300":
    report = by_hand(tid_5300(), "1.2.840.10008.5.1.4.1.1.88.72", "5300")
else:
    report = by_highdicom()
report.save_as(sys.argv[2], enforce_file_format=True)
