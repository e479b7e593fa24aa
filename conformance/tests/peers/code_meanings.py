"""Prints, for each (value, scheme) of a JSON list, the meanings that pydicom's dictionaries have; none where unknown."""

import json
import sys

from pydicom.sr._concepts_dict import concepts

meanings = {}
for scheme, keywords in concepts.items():
    for codes in keywords.values():
        for value, (meaning, _) in codes.items():
            meanings.setdefault((value, scheme), []).append(meaning)

with open(sys.argv[1]) as file:
    asked = json.load(file)
print(json.dumps([meanings.get((value, scheme), []) for value, scheme in asked]))
