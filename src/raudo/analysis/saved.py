"""An analysis on disk: what the next one of nearly the same documents need not do again.

A folder of segments (`segment.py`): `analysis.seg` with what is small of every document, replaced
whole by a rename, and the files that it names: the parts (`parts.py`) with words and vectors, and
the weights of TF-IDF, which are written once and go when no analysis names them. So a run writes
what came and some 250 bytes a document, and a crash leaves the old analysis or the new one. A file
that is damaged, missing or of another version makes the whole as good as none.

The table is checked each time, the others once: it has the stamps that they had, and while a file
has its stamp it is mapped and not looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo._core.walk import STAMP_NUMBERS
from raudo.analysis.embeddings import Fit
from raudo.analysis.parts import Part, Parts
from raudo.analysis.segment import read_segment, write_segment
from raudo.analysis.sources.tally import Saying
from raudo.analysis.stamps import Stamp, stamp_of
from raudo.analysis.words import WordCounts
from raudo.errors import CorruptEntry

__all__ = ["Files", "Saved", "load", "save"]

VERSION = 4
_NAME = "analysis.seg"
_PART, _WEIGHTS = "rows-", "weights-"

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Files:
    """The files that were read, in order: those of folder f are [ends[f - 1], ends[f]). `stamps`
    (m, STAMP_NUMBERS) are as they were, `sizes` the documents of each.

    `is_clean` says that a file need not be read again while its stamp is the same, and so are the
    `options` of reading; `sayings` is what is told of it beside its documents, if there is any.
    """

    folders: list[str] = field(default_factory=list)
    ends: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    names: list[str] = field(default_factory=list)
    stamps: Ints = field(default_factory=lambda: np.empty((0, STAMP_NUMBERS), np.int64))
    sizes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    is_clean: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    sayings: dict[int, list[Saying]] = field(default_factory=dict)
    options: list[str | None] = field(default_factory=list)

    def equals(self, other: Files) -> bool:
        """Tell whether these are the same files as they were, as much of both being known."""
        return (
            self.options == other.options
            and self.sayings == other.sayings
            and self.folders == other.folders
            and self.names == other.names
            and np.array_equal(self.ends, other.ends)
            and np.array_equal(self.stamps, other.stamps)
            and np.array_equal(self.sizes, other.sizes)
            and np.array_equal(self.is_clean, other.is_clean)
        )


@dataclass(slots=True)
class Saved:
    """Everything of an analysis that depends on its documents alone, by document.

    `alike` is the similarity of each to the first of its group, whose number `labels` has. `near`
    and `cosines` (n, K) are more neighbours than were asked for, best first; whatever is not among
    them has a cosine of at most `floors` (n,).
    """

    settings: dict[str, Any]
    files: Files
    ids: list[Hashable]
    paths: list[str | None]
    chars: Ints
    keys: NDArray[np.uint64]
    parts: Parts
    fit: Fit | None
    n_changed: int  # documents that came or went since the fit
    labels: Ints
    alike: NDArray[np.float64]
    near: Ints | NDArray[np.int32]
    cosines: NDArray[np.float32]
    floors: NDArray[np.float32]
    fit_name: str = ""  # of the file that has the fit
    fit_stamp: Stamp = ()
    is_settled: bool = False  # its files have the stamps that the table has

    def __len__(self) -> int:
        return len(self.ids)


def load(folder: Path) -> Saved | None:
    """Return what was saved; None where there is nothing that can be used."""
    try:
        arrays, meta = read_segment(folder / _NAME)
        if meta["version"] != VERSION or meta["hash_version"] != text.HASH_VERSION:
            return None
        stamps = {name: tuple(stamp) for name, stamp in meta["stamps"].items()}
        fit, fit_stamp = _read_fit(folder, meta["weights"], stamps)
        ids = _unpacked(arrays["ids"])
        paths = _unpacked(arrays["paths"])
        files = Files(
            _unpacked(arrays["folders"]),
            arrays["folder_ends"],
            _unpacked(arrays["files"]),
            arrays["stamps"],
            arrays["sizes"],
            arrays["is_clean"].astype(bool),
            {int(number): [tuple(each) for each in said] for number, said in meta["sayings"]},
            meta["options"],
        )
        parts = Parts([_read_part(folder, name, stamps) for name in meta["parts"]], arrays["slots"])
        found = {part.name: part.stamp for part in parts.parts}
        if meta["weights"]:
            found[meta["weights"]] = fit_stamp
        return Saved(
            meta["settings"],
            files,
            ids,
            ids if paths is None else paths,
            arrays["chars"],
            arrays["keys"],
            parts,
            fit,
            meta["n_changed"],
            arrays["labels"],
            arrays["alike"],
            arrays["near"],
            arrays["cosines"],
            arrays["floors"],
            meta["weights"],
            fit_stamp,
            is_settled=found == stamps,
        )
    except (OSError, CorruptEntry, KeyError, ValueError, TypeError, AttributeError):
        return None


def save(folder: Path, saved: Saved) -> None:
    """Put an analysis in the place of the last one.

    Raises:
        OSError: The folder cannot be written.
        TypeError: An id is neither a str nor an int.
    """
    if not set(map(type, saved.ids)) <= {str, int}:
        for id_ in saved.ids:
            if not isinstance(id_, str | int):
                kind = type(id_).__name__
                raise TypeError(f"id {id_!r} is {kind}, wanted str or int for an index")
    folder.mkdir(parents=True, exist_ok=True)
    before = _age(folder / _NAME)
    parts = saved.parts.compact()
    stamps = {part.name: part.stamp for part in parts.parts if part.name}
    stamps[saved.fit_name] = saved.fit_stamp  # as they were found whole, not as they are now
    names = [part.name or _write_part(folder, part) for part in parts.parts]
    weights = saved.fit_name or _write_fit(folder, saved.fit)
    is_small = len(saved) <= np.iinfo(np.int32).max
    arrays: dict[str, NDArray[Any]] = {
        "ids": _packed(saved.ids),
        "paths": _packed(None if saved.ids == saved.paths else saved.paths),
        "folders": _packed(saved.files.folders),
        "folder_ends": saved.files.ends,
        "files": _packed(saved.files.names),
        "stamps": saved.files.stamps,
        "sizes": saved.files.sizes,
        "is_clean": saved.files.is_clean.astype(np.uint8),
        "chars": saved.chars,
        "keys": saved.keys,
        "slots": parts.slots,
        "labels": saved.labels,
        "alike": saved.alike,
        "near": saved.near.astype(np.int32) if is_small else saved.near,
        "cosines": saved.cosines,
        "floors": saved.floors,
    }
    meta = {
        "version": VERSION,
        "hash_version": text.HASH_VERSION,
        "settings": saved.settings,
        "options": saved.files.options,
        "sayings": list(saved.files.sayings.items()),
        "n_changed": saved.n_changed,
        "parts": names,
        "weights": weights,
        "stamps": {
            name: stamps[name] if name in stamps else stamp_of(folder / name)
            for name in (*names, weights)
            if name
        },
    }
    write_segment(folder / _NAME, arrays, meta)
    _sweep(folder, {*names, weights}, before)


def _read(folder: Path, name: str, stamps: dict[str, Stamp]) -> tuple[dict[str, Any], Any, Stamp]:
    stamp = stamp_of(folder / name)
    is_known = stamp != () and stamps[name] == stamp
    return *read_segment(folder / name, check=not is_known), stamp


def _read_part(folder: Path, name: str, stamps: dict[str, Stamp]) -> Part:
    arrays, _, stamp = _read(folder, name, stamps)
    columns = (arrays[column] for column in ("offsets", "words", "counts", "lengths"))
    return Part(WordCounts(*columns), arrays["vectors"], name, stamp)


def _write_part(folder: Path, part: Part) -> str:
    words = part.words
    arrays: dict[str, NDArray[Any]] = {
        "offsets": words.offsets,
        "words": words.words,
        "counts": words.counts,
        "lengths": words.lengths,
        "vectors": part.vectors,
    }
    return _write(folder, _PART, arrays, {})


def _read_fit(folder: Path, name: str, stamps: dict[str, Stamp]) -> tuple[Fit | None, Stamp]:
    if not name:
        return None, ()
    arrays, meta, stamp = _read(folder, name, stamps)
    return Fit(meta["n"], arrays["words"], arrays["frequency"]), stamp


def _write_fit(folder: Path, fit: Fit | None) -> str:
    if fit is None:
        return ""
    return _write(folder, _WEIGHTS, {"words": fit.words, "frequency": fit.frequency}, {"n": fit.n})


def _write(folder: Path, kind: str, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> str:
    name = f"{kind}{os.urandom(8).hex()}.seg"
    write_segment(folder / name, arrays, meta)
    return name


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _sweep(folder: Path, named: set[str], before: int) -> None:
    """Remove the files that the last analysis named, and what a run left that was killed before it.

    Younger ones may be those of a run that is about to name them.
    """
    for kind in (_PART, _WEIGHTS):
        for path in folder.glob(f"{kind}*"):
            if path.name not in named and _age(path) <= before:
                with contextlib.suppress(OSError):
                    path.unlink()


def _packed(texts: Sequence[Hashable] | None) -> NDArray[np.uint8]:
    """Return strings with zero bytes between them; as JSON where they hold such, or numbers."""
    # Names that are not UTF-8 come back as they were.
    if texts is not None and set(map(type, texts)) == {str}:
        joined = "\0".join(texts)  # type: ignore[arg-type]
        if joined.count("\0") == len(texts) - 1:
            return np.frombuffer(b"0" + joined.encode("utf-8", "surrogatepass"), np.uint8)
    return np.frombuffer(b"J" + json.dumps(texts).encode(), np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> Any:
    content = packed.tobytes()
    if content[:1] == b"0":
        return content[1:].decode("utf-8", "surrogatepass").split("\0")
    return json.loads(content[1:])
