"""Prints, as JSON, the pairs (SNOMED CT, SNOMED RT) of a file that pydicom's table of PS3.16 doesn't have."""

import json
import sys
from pathlib import Path

from pydicom.sr._snomed_dict import mapping

pairs = json.loads(Path(sys.argv[1]).read_text())
print(json.dumps([pair for pair in pairs if mapping["SRT"].get(pair[1]) != pair[0]]))
