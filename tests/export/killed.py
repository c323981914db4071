"""Exports rows without end to the path given, and says `writing` once bytes are on their way."""

import itertools
import sys

from raudo.export import export


def rows():
    for i in itertools.count():
        if i == 400_000:
            print("writing", flush=True)
        yield {"id": i, "text": "x" * 20}


path, parts = sys.argv[1:]
export(rows(), path, parts=int(parts) or None)
