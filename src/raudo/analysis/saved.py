"""An analysis on disk: what the next one of nearly the same documents need not do again.

One segment (`segment.py`): mapped, checksummed, replaced whole by a rename, so that a crash leaves
the old analysis or the new one. A file that is damaged or of another version is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.embeddings import Fit
from raudo.analysis.segment import read_segment, write_segment
from raudo.analysis.words import WordCounts
from raudo.errors import CorruptEntry

__all__ = ["Files", "Saved", "load", "save"]

VERSION = 1
_NAME = "analysis.seg"

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Files:
    """The files that were read, in order: `stamps` (m, 4) as they were, `sizes` documents of each.

    `is_clean` says that nothing was told of a file beside its documents: it need not be read again
    while its stamp is the same.
    """

    names: list[str] = field(default_factory=list)
    stamps: Ints = field(default_factory=lambda: np.empty((0, 4), np.int64))
    sizes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    is_clean: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


@dataclass(slots=True)
class Saved:
    """Everything of an analysis that depends on its documents alone, by document.

    `near` and `cosines` (n, K) are more neighbours than were asked for; whatever is not among them
    has a cosine of at most `floors` (n,).
    """

    settings: dict[str, Any]
    files: Files
    ids: Sequence[Hashable]
    paths: Sequence[str | None]
    chars: Ints
    keys: NDArray[np.uint64]
    words: WordCounts
    fit: Fit | None
    n_changed: int  # documents that came or went since the fit
    vectors: NDArray[np.float32]
    labels: Ints
    near: Ints
    cosines: NDArray[np.float32]
    floors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def load(folder: Path) -> Saved | None:
    """Return what was saved; None where there is nothing that can be used."""
    try:
        arrays, meta = read_segment(folder / _NAME)
        if meta["version"] != VERSION or meta["hash_version"] != text.HASH_VERSION:
            return None
        ids = json.loads(arrays["ids"].tobytes())
        paths = json.loads(arrays["paths"].tobytes())
        files = Files(
            json.loads(arrays["files"].tobytes()),
            arrays["stamps"],
            arrays["sizes"],
            arrays["is_clean"],
        )
        words = WordCounts(arrays["offsets"], arrays["words"], arrays["counts"], arrays["lengths"])
        fit = (
            Fit(meta["fit_n"], arrays["fit_words"], arrays["fit_frequency"])
            if "fit_words" in arrays
            else None
        )
        return Saved(
            meta["settings"],
            files,
            ids,
            ids if paths is None else paths,
            arrays["chars"],
            arrays["keys"],
            words,
            fit,
            meta["n_changed"],
            arrays["vectors"],
            arrays["labels"],
            arrays["near"],
            arrays["cosines"],
            arrays["floors"],
        )
    except (OSError, CorruptEntry, KeyError, ValueError, TypeError):
        return None


def save(folder: Path, saved: Saved) -> None:
    """Put an analysis in the place of the last one.

    Raises:
        OSError: The folder cannot be written.
        TypeError: An id is neither a str nor an int.
    """
    for id_ in saved.ids:
        if not isinstance(id_, str | int):
            raise TypeError(f"id {id_!r} is {type(id_).__name__}, wanted str or int for an index")
    same = list(saved.ids) == list(saved.paths)
    arrays: dict[str, NDArray[Any]] = {
        "ids": _json(list(saved.ids)),
        "paths": _json(None if same else list(saved.paths)),
        "files": _json(saved.files.names),
        "stamps": saved.files.stamps,
        "sizes": saved.files.sizes,
        "is_clean": saved.files.is_clean,
        "chars": saved.chars,
        "keys": saved.keys,
        "offsets": saved.words.offsets,
        "words": saved.words.words,
        "counts": saved.words.counts,
        "lengths": saved.words.lengths,
        "vectors": saved.vectors,
        "labels": saved.labels,
        "near": saved.near,
        "cosines": saved.cosines,
        "floors": saved.floors,
    }
    meta = {
        "version": VERSION,
        "hash_version": text.HASH_VERSION,
        "settings": saved.settings,
        "n_changed": saved.n_changed,
    }
    if saved.fit is not None:
        arrays |= {"fit_words": saved.fit.words, "fit_frequency": saved.fit.frequency}
        meta["fit_n"] = saved.fit.n
    folder.mkdir(parents=True, exist_ok=True)
    write_segment(folder / _NAME, arrays, meta)


def _json(value: Any) -> NDArray[np.uint8]:
    # Names that are not UTF-8 are escaped and come back as they were.
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
