"""A pynetdicom receiver at its fastest: data sets are written as they came, and never decoded.

usage: bench_scp.py PORT FOLDER
"""

import sys
from pathlib import Path

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt


def main():
    port, folder = int(sys.argv[1]), Path(sys.argv[2])

    def stored(event):
        path = folder / event.request.AffectedSOPInstanceUID
        path.write_bytes(event.encoded_dataset())
        return 0x0000

    ae = AE(ae_title="BENCH")
    ae.maximum_pdu_size = 131072
    ae.maximum_associations = 64
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, stored)])


main()
