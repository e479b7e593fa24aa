"""A raw peer that brings the node's acceptor into a state of PS3.8 table 9-10 and then does what the state doesn't expect.

states.py PORT CASE...: each case is `<state>:<event>`. Prints a list of {"case", "answers"}: the PDUs that came after the
event, by name (A-ABORT with source and reason), until the node closed the connection. One that is still open after a minute
is a failure.
"""

import json
import socket
import struct
import sys

from pynetdicom import build_context
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    P_DATA_TF,
)
from pynetdicom.pdu_primitives import (
    A_ABORT,
    A_ASSOCIATE,
    A_RELEASE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    P_DATA,
)

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"


def associate(result=None):
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = "CART1"
    primitive.called_ae_title = "SONODE"
    length = MaximumLengthNotification()
    length.maximum_length_received = 16382
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.826.0.1.3680043.9.3811.9"
    primitive.user_information = [length, implementation]
    context = build_context(VERIFICATION, IMPLICIT)
    context.context_id = 1
    if result is None:
        primitive.presentation_context_definition_list = [context]
        pdu = A_ASSOCIATE_RQ()
    elif result == 0:
        context.result = 0
        primitive.result = 0
        primitive.presentation_context_definition_results_list = [context]
        pdu = A_ASSOCIATE_AC()
    else:
        primitive.result = result
        primitive.result_source = 1
        primitive.diagnostic = 1
        pdu = A_ASSOCIATE_RJ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def data():
    """C-ECHO-RQ."""
    elements = [
        (0x0002, VERIFICATION.encode() + b"\0"),
        (0x0100, struct.pack("<H", 0x0030)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", 0x0101)),
    ]
    group = b"".join(
        struct.pack("<HHI", 0, element, len(value)) + value for element, value in elements
    )
    command = struct.pack("<HHII", 0, 0, 4, len(group)) + group
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[1, b"\x03" + command]]
    pdu = P_DATA_TF()
    pdu.from_primitive(primitive)
    return pdu.encode()


def release(answer=False):
    primitive = A_RELEASE()
    pdu = A_RELEASE_RQ()
    if answer:
        primitive.result = "affirmative"
        pdu = A_RELEASE_RP()
    pdu.from_primitive(primitive)
    return pdu.encode()


def abort():
    primitive = A_ABORT()
    primitive.abort_source = 0
    pdu = A_ABORT_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


EVENTS = {
    "associate-rq": associate,
    "associate-ac": lambda: associate(0),
    "associate-rj": lambda: associate(1),
    "data": data,
    "release-rq": release,
    "release-rp": lambda: release(True),
    "abort": abort,
    # A type that PS3.8 doesn't know.
    "unknown": lambda: b"\x2a\x00\x00\x00\x00\x02\x00\x00",
    # P-DATA-TF whose one PDV claims more than the PDU has.
    "broken-data": lambda: b"\x04\x00\x00\x00\x00\x06\x00\x00\xff\xff\x01\x03",
    # A-ASSOCIATE-RQ that ends within its titles.
    "broken-rq": lambda: b"\x01\x00\x00\x00\x00\x08\x00\x01\x00\x00SONO",
    "close": lambda: None,
    "nothing": lambda: b"",
}
NAMES = {2: "associate-ac", 3: "associate-rj", 4: "data", 5: "release-rq", 6: "release-rp"}


def read(peer, count):
    got = b""
    while len(got) < count:
        more = peer.recv(count - len(got))
        if not more:
            return None
        got += more
    return got


def answer(peer):
    """The next PDU's name; None: closed."""
    head = read(peer, 6)
    if head is None:
        return None
    kind, length = head[0], struct.unpack(">I", head[2:])[0]
    body = read(peer, length)
    if kind == 7:
        return f"abort {body[2]} {body[3]}"
    return NAMES[kind]


def into(peer, state):
    """Sta2 is where a connection begins."""
    if state in ("sta6", "sta13"):
        peer.sendall(associate())
        assert answer(peer) == "associate-ac"
    if state == "sta13":
        peer.sendall(release())
        assert answer(peer) == "release-rp"


def play(port, case):
    state, event = case.split(":")
    with socket.create_connection(("127.0.0.1", port), 60) as peer:
        into(peer, state)
        sent = EVENTS[event]()
        if sent is None:
            peer.shutdown(socket.SHUT_WR)
        elif sent:
            peer.sendall(sent)
        answers = []
        while True:
            try:
                got = answer(peer)
            except ConnectionResetError:
                got = None
            if got is None:
                return {"case": case, "answers": answers}
            answers.append(got)


print(json.dumps([play(int(sys.argv[1]), case) for case in sys.argv[2:]]))
