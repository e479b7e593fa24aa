"""Writes a rejection note (IHE IOCM) for the instance in a file: rejection_note.py FILE OUT CODE."""

import sys

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

source = pydicom.dcmread(sys.argv[1], stop_before_pixels=True)
out, code = sys.argv[2:]


def coded(value, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


reference = Dataset()
reference.ReferencedSOPClassUID = source.SOPClassUID
reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
series = Dataset()
series.SeriesInstanceUID = source.SeriesInstanceUID
series.ReferencedSOPSequence = [reference]
study = Dataset()
study.StudyInstanceUID = source.StudyInstanceUID
study.ReferencedSeriesSequence = [series]
content = Dataset()
content.RelationshipType, content.ValueType = "CONTAINS", "IMAGE"
content.ReferencedSOPSequence = [reference]

meta = FileMetaDataset()
meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.59"
meta.MediaStorageSOPInstanceUID = generate_uid()
meta.TransferSyntaxUID = ExplicitVRLittleEndian
note = FileDataset(out, {}, file_meta=meta, preamble=b"\0" * 128)
note.SOPClassUID = meta.MediaStorageSOPClassUID
note.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
note.Modality = "KO"
note.PatientName, note.PatientID = source.PatientName, source.PatientID
note.StudyInstanceUID = source.StudyInstanceUID
note.SeriesInstanceUID = generate_uid()
note.InstanceNumber, note.SeriesNumber = 1, 999
note.ContentDate, note.ContentTime = "20260101", "120000"
note.ValueType, note.ContinuityOfContent = "CONTAINER", "SEPARATE"
note.ConceptNameCodeSequence = [coded(code, "a title")]
note.CurrentRequestedProcedureEvidenceSequence = [study]
note.ContentSequence = [content]
note.save_as(out, enforce_file_format=True)
