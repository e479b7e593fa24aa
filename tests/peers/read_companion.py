"""Prints what a companion of a report is to pydicom, as JSON. With a second argument, an image's frames go there as
PNG, a document as it is."""

import json
import pathlib
import sys

import numpy
import pydicom

data_set = pydicom.dcmread(sys.argv[1])
said = {
    "study": str(data_set.StudyInstanceUID),
    "series": str(data_set.SeriesInstanceUID),
    "sop_class": str(data_set.SOPClassUID),
    "transfer_syntax": str(data_set.file_meta.TransferSyntaxUID),
    "modality": data_set.Modality,
    "patient_id": str(data_set.get("PatientID", "")),
    "burned_in": data_set.BurnedInAnnotation,
    "conversion": data_set.ConversionType,
    "models": [str(item.ManufacturerModelName) for item in data_set.get("ContributingEquipmentSequence", [])],
    "sources": [
        str(item.ReferencedSOPInstanceUID)
        for name in ("SourceImageSequence", "SourceInstanceSequence")
        for item in data_set.get(name, [])
    ],
}
folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
if "PixelData" in data_set:
    pixels = data_set.pixel_array
    frames = pixels if pixels.ndim == 4 else pixels[numpy.newaxis]
    said["shape"] = list(frames.shape)
    said["deviation"] = [float(frame.std()) for frame in frames]
    if folder:
        from PIL import Image

        for number, frame in enumerate(frames, 1):
            Image.fromarray(frame).save(folder / f"{data_set.SOPInstanceUID}-{number}.png")
else:
    document = data_set.EncapsulatedDocument
    said["mime"] = data_set.MIMETypeOfEncapsulatedDocument
    said["head"] = document[:5].decode("latin-1")
    said["bytes"] = len(document)
    if folder:
        (folder / f"{data_set.SOPInstanceUID}.pdf").write_bytes(document)
print(json.dumps(said))
