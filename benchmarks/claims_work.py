"""What both sides of the user's table are given: documents, a model, requests, and what they write.

`claims.py` makes the documents and starts `claims_before.py` and `claims_after.py`, each in a
process of its own. Both analyse the documents, then answer requests for single ones, and tell their
figures by `tell`.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
K = 10
DIMENSIONS = 256
AT_ONCE = 16
# The cache after has so many times the entries before: on levels that live objects do not fill.
ROOM = 5
WORD = re.compile(r"\w+")
_SOME_WORDS = re.compile(r"(?:\w+\W+){12}")


def library_texts(n: int) -> list[str]:
    """Return up to n paragraphs of a dozen words and more from Python's own standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    source = random.Random(1)
    source.shuffle(paths)
    texts: list[str] = []
    for path in paths:
        paragraphs = path.read_text(encoding="utf-8", errors="replace").split("\n\n")
        texts += [" ".join(each.split()) for each in paragraphs if _SOME_WORDS.search(each)]
        if len(texts) >= n:
            break
    source.shuffle(texts)
    return texts[:n]


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return (n, 256) float32 of unit length: words counted in hashed places, with signs. It stands
    for the model that the user has; both sides call it.
    """
    vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in WORD.findall(text.lower()):
            hashed = zlib.crc32(word.encode())
            row[hashed % DIMENSIONS] += 1 if hashed & 0x8000_0000 else -1
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=vectors, where=lengths > 0)


def requests(n: int, n_documents: int) -> Iterator[int]:
    """Yield documents as readers ask for them: favourites by Zipf's law that drift, and now and
    then somebody who reads a run of them in order.
    """
    source = random.Random(1)
    shift = 0
    for i in range(n):
        if i % 2_000 == 0:
            shift += n_documents // 200
        if i % 1_000 < 100:
            yield (i * 7 + i % 1_000) % n_documents
        else:
            yield (int(n_documents ** source.random()) + shift) % n_documents


class Documents:
    """Documents of a .jsonl by number: each is read from the file when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts = [0]
        with open(path, "rb") as file:
            for line in file:
                self._starts.append(self._starts[-1] + len(line))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def read(self, number: int) -> dict[str, Any]:
        with open(self._path, "rb") as file:
            file.seek(self._starts[number])
            document: dict[str, Any] = json.loads(file.readline())
        return document


def arguments() -> tuple[Path, Path, int, int]:
    """Return (documents, folder for results, number of requests, entries in memory)."""
    source, out, n_requests, n_entries = sys.argv[1:]
    return Path(source), Path(out), int(n_requests), int(n_entries)


def tell(out: Path, **figures: float) -> None:
    """Write the figures of a side, and its peak memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    (out / "figures.json").write_text(json.dumps(figures | {"peak_bytes": peak}))
