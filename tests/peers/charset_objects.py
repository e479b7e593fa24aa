"""Writes one still of a cart for each character set: charset_objects.py STILL FOLDER; prints what it wrote as JSON.

The bytes of each name are written as they stand here, so that no encoder but the cart's has had them.
"""

import json
import sys
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

# Specific Character Set as the cart writes it, the name's bytes, the name, and what a report in the images' own set
# names as its set. A name of None: the bytes can't be decoded.
NAMES = [
    ("", b"Doe^Jane", "Doe^Jane", ""),
    ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme", "ISO_IR 100"),
    ("ISO IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme", "ISO_IR 100"),
    ("ISO_IR 101", b"Wa\xb3\xeasa", "Wałęsa", "ISO_IR 101"),
    ("ISO_IR 109", b"\xa6u\xfdo", "Ĥuŭo", "ISO_IR 109"),
    ("ISO_IR 110", b"K\xbarl\xe0", "Kērlā", "ISO_IR 110"),
    ("ISO_IR 144", b"\xbb\xee\xda", "Люк", "ISO_IR 144"),
    ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار", "ISO_IR 127"),
    ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος", "ISO_IR 126"),
    ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה", "ISO_IR 138"),
    ("ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu", "ISO_IR 148"),
    ("ISO_IR 203", b"\xa4uro^\xbde", "€uro^œe", "ISO_IR 203"),
    ("ISO_IR 166", b"\xb9\xd2\xc1", "นาม", "ISO_IR 166"),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ISO_IR 13"),
    (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "\\ISO 2022 IR 87",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
    ),
    ("\\ISO 2022 IR 159", b"A^B=\x1b$(D0!\x1b(B", "A^B=丂", "\\ISO 2022 IR 159"),
    (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
        "\\ISO 2022 IR 149",
    ),
    (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
        "Zhang^XiaoDong=张^小东",
        "\\ISO 2022 IR 58",
    ),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东", "GB18030"),
    ("GBK", b"\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东", "GBK"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东", "ISO_IR 192"),
    ("ISO IR 192", "Müller^Zoë".encode(), "Müller^Zoë", "ISO_IR 192"),
    # No set was declared, so there is none to keep; the first that has every character does.
    ("ISO_IR 6", "Müller^Zoë".encode(), "Müller^Zoë", "ISO_IR 100"),
    ("ISO_IR 192", b"M\xfcller^Zo", None, "ISO_IR 192"),
    ("ISO_IR 6", b"M\xfcller^Zo", None, ""),
]



def element(header, value):
    value = value.ljust(len(value) + len(value) % 2)
    return header + len(value).to_bytes(2, "little") + value


def replaced(whole, old, new):
    assert whole.count(old) == 1
    return whole.replace(old, new)


still, folder = sys.argv[1], Path(sys.argv[2])
written = []
for number, (charset, raw, name, reported) in enumerate(NAMES):
    image = pydicom.dcmread(still)
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = (generate_uid() for _ in range(3))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.PatientID = f"CS{number}"
    for text in ("ReferringPhysicianName", "StudyDescription", "InstitutionName", "PerformingPhysicianName"):
        if text in image:
            del image[text]
    # Elements that pydicom writes as they are, replaced in the file: it would encode and check the real ones.
    image.PatientName = "PLACE^HOLDER"
    image.SpecificCharacterSet = "ISO_IR 100"
    path = folder / f"{number}.dcm"
    image.save_as(path)
    whole = path.read_bytes()
    whole = replaced(whole, element(b"\x10\x00\x10\x00PN", b"PLACE^HOLDER"), element(b"\x10\x00\x10\x00PN", raw))
    own = element(b"\x08\x00\x05\x00CS", charset.encode()) if charset else b""
    path.write_bytes(replaced(whole, element(b"\x08\x00\x05\x00CS", b"ISO_IR 100"), own))
    written.append(
        {
            "file": str(path),
            "study": image.StudyInstanceUID,
            "charset": charset,
            "name": name,
            "raw": (name.encode("latin-1") if charset == "ISO_IR 6" and name else raw).hex(),
            "reported": reported,
        }
    )
print(json.dumps(written))
