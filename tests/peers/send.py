"""Sends files with pynetdicom, as a cart with everything negotiable that it has: asynchronous operations, role
selection, extended negotiation and user identity. Prints the accepted contexts and the statuses as JSON."""

import json
import sys

from pydicom import dcmread
from pynetdicom import AE, _config
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

host, port, called, calling, *paths = sys.argv[1:]
# The file's bytes as they are.
_config.STORE_SEND_CHUNKED_DATASET = True

metas = [dcmread(path, stop_before_pixels=True).file_meta for path in paths]
ae = AE(ae_title=calling)
for sop_class, syntax in sorted({(m.MediaStorageSOPClassUID, m.TransferSyntaxUID) for m in metas}):
    ae.add_requested_context(sop_class, syntax)

window = AsynchronousOperationsWindowNegotiation()
window.maximum_number_operations_invoked = 8
window.maximum_number_operations_performed = 8
role = SCP_SCU_RoleSelectionNegotiation()
role.sop_class_uid = metas[0].MediaStorageSOPClassUID
role.scu_role, role.scp_role = True, False
extended = SOPClassExtendedNegotiation()
extended.sop_class_uid = metas[0].MediaStorageSOPClassUID
extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
user = UserIdentityNegotiation()
user.user_identity_type = 1
user.primary_field = b"sonographer"
user.positive_response_requested = False

association = ae.associate(host, int(port), ae_title=called, ext_neg=[window, role, extended, user])
if not association.is_established:
    sys.exit("the association was not accepted")
accepted = len(association.accepted_contexts)
statuses = [association.send_c_store(path).get("Status") for path in paths]
association.release()
print(json.dumps({"accepted_contexts": accepted, "statuses": statuses, "released": association.is_released}))
