"""Fails unless two files hold the same data set. A sender may write it anew: group lengths don't count, nor trailing
padding, explicit or implicit VR, defined or undefined lengths, nor the byte order."""

import sys

import pydicom

PIXEL_DATA, TRAILING_PADDING = 0x7FE00010, 0xFFFCFFFC


def comparable(path):
    data_set = pydicom.dcmread(path)
    data_set.decode()
    for element in list(data_set.iterall()):
        if element.tag.element == 0 and element.tag in data_set:
            del data_set[element.tag]
    data_set.pop(TRAILING_PADDING, None)
    return data_set


def same(tag, sent, received):
    if tag not in sent or tag not in received:
        return False
    if tag == PIXEL_DATA and sent.file_meta.TransferSyntaxUID != received.file_meta.TransferSyntaxUID:
        return (sent.pixel_array == received.pixel_array).all()
    return sent[tag].value == received[tag].value


sent, received = (comparable(path) for path in sys.argv[1:3])
differences = [str(tag) for tag in sorted(set(sent.keys()) | set(received.keys())) if not same(tag, sent, received)]
if differences:
    sys.exit(f"{sys.argv[2]} differs from {sys.argv[1]} in {', '.join(differences)}")
