"""What is known of a document from earlier runs, by the hash of its content.

A `Store` holds rows: for each key (128 bits of content hash) one row of some named arrays. Rows may
be of fixed width (a vector) or ragged (the words of a document). `FolderStore` keeps them in
segments, files that are written once: each run that learns something adds one, and a few are merged
into one when there are many. Processes may share a folder: nothing is ever changed in place, and a
file that is damaged, or that another process has just merged away, is a miss.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.segment import TEMPORARY, read_segment, write_segment
from raudo.errors import CorruptEntry

__all__ = ["Found", "FolderStore", "ObjectStore", "Rows", "Store", "StoreCounts", "open_store"]

Keys = NDArray[np.uint64]

_SUFFIX = ".seg"
_MANY_SEGMENTS = 8
_STALE_PART_S = 3600.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of named arrays; the ragged ones share `offsets`."""

    fixed: dict[str, NDArray[Any]]
    ragged: dict[str, NDArray[Any]] = field(default_factory=dict)
    offsets: NDArray[np.int64] | None = None

    def take(self, rows: NDArray[np.int64]) -> Rows:
        fixed = {name: array[rows] for name, array in self.fixed.items()}
        ragged: dict[str, NDArray[Any]] = {}
        offsets = None
        if self.offsets is not None:
            for name, array in self.ragged.items():
                offsets, ragged[name] = text.take_rows(self.offsets, array, rows)
        return Rows(fixed, ragged, offsets)

    def row(self, i: int) -> dict[str, NDArray[Any]]:
        """Return one row of each array."""
        one = {name: array[i] for name, array in self.fixed.items()}
        if self.offsets is not None:
            lo, hi = self.offsets[i], self.offsets[i + 1]
            one |= {name: array[lo:hi] for name, array in self.ragged.items()}
        return one

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        first = parts[0]
        fixed = {name: np.concatenate([p.fixed[name] for p in parts]) for name in first.fixed}
        ragged = {name: np.concatenate([p.ragged[name] for p in parts]) for name in first.ragged}
        offsets = None
        if first.offsets is not None:
            sizes = np.concatenate([np.diff(p.offsets) for p in parts if p.offsets is not None])
            offsets = np.zeros(len(sizes) + 1, np.int64)
            np.cumsum(sizes, out=offsets[1:])
        return Rows(fixed, ragged, offsets)


@dataclass(frozen=True, slots=True)
class Found:
    """What a store knew: `positions` of the keys asked for, ascending, and their rows in that
    order.

    `seconds` is what these rows took to compute when they were new.
    """

    positions: NDArray[np.int64]
    rows: Rows | None
    seconds: float = 0.0


@dataclass(slots=True)
class StoreCounts:
    """How a store fared; `errors` are files that could not be read or written."""

    corrupt: int = 0
    errors: int = 0


class Store(Protocol):
    """Rows by content. `find` and `add` never raise for what the outside world does to them."""

    counts: StoreCounts

    def find(self, kind: str, keys: Keys) -> Found: ...
    def add(self, kind: str, keys: Keys, rows: Rows, seconds: float) -> None: ...


class FolderStore:
    """Keeps rows in a folder, at most `max_bytes` of them: the oldest segments go first.

    Args:
        folder: Made when it is missing.
        max_bytes: Bound on all segments together.

    Thread-safe: a call looks at the folder as it is, and a segment is read and checked once.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 2 << 30) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.counts = StoreCounts()
        self._loaded: dict[Path, tuple[dict[str, NDArray[Any]], dict[str, Any]]] = {}

    def find(self, kind: str, keys: Keys) -> Found:
        """Return the rows of those keys that are known."""
        missing = np.ones(len(keys), bool)
        positions: list[NDArray[np.int64]] = []
        parts: list[Rows] = []
        seconds = 0.0
        for arrays, meta in self._segments(kind):
            wanted = np.flatnonzero(missing)
            if not len(wanted):
                break
            known = arrays["keys"]
            at = np.searchsorted(known[:, 0], keys[wanted, 0])
            at[at == len(known)] = 0
            hit = (known[at] == keys[wanted]).all(axis=1)
            if hit.any():
                missing[wanted[hit]] = False
                positions.append(wanted[hit])
                parts.append(_rows_of(arrays).take(at[hit].astype(np.int64)))
                seconds += float(meta.get("seconds", 0.0)) * int(hit.sum()) / len(known)
        if not parts:
            return Found(np.empty(0, np.int64), None)
        order = np.concatenate(positions)
        rows = Rows.concatenate(parts) if len(parts) > 1 else parts[0]
        if len(parts) > 1:
            ascending = np.argsort(order)
            order, rows = order[ascending], rows.take(ascending)
        return Found(order, rows, seconds)

    def add(self, kind: str, keys: Keys, rows: Rows, seconds: float) -> None:
        """Write the rows as a new segment. A folder that cannot be written is counted, not
        raised.
        """
        if not len(keys):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(kind, keys, rows, seconds)
            self._tidy(kind)
        except OSError:
            self.counts.errors += 1

    def _write(self, kind: str, keys: Keys, rows: Rows, seconds: float) -> None:
        order = np.lexsort((keys[:, 1], keys[:, 0])).astype(np.int64)
        ascending = keys[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (ascending[1:] != ascending[:-1]).any(axis=1)
        taken = rows.take(order[fresh])
        arrays: dict[str, NDArray[Any]] = {"keys": ascending[fresh]}
        arrays |= {f"fixed.{name}": array for name, array in taken.fixed.items()}
        arrays |= {f"ragged.{name}": array for name, array in taken.ragged.items()}
        if taken.offsets is not None:
            arrays["offsets"] = taken.offsets
        name = f"{kind}-{time.time_ns():020d}-{os.urandom(4).hex()}{_SUFFIX}"
        write_segment(self.folder / name, arrays, {"seconds": seconds})

    def _paths(self, kind: str = "") -> list[Path]:
        """Return the segments, the newest first."""
        pattern = f"{kind}-*{_SUFFIX}" if kind else f"*{_SUFFIX}"
        return sorted(self.folder.glob(pattern), key=lambda path: path.name.split("-")[-2:])[::-1]

    def _segments(self, kind: str) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, Any]]]:
        for path in self._paths(kind):
            loaded = self._load(path)
            if loaded is not None and len(loaded[0]["keys"]):
                yield loaded

    def _drop(self, path: Path) -> None:
        self._loaded.pop(path, None)
        with contextlib.suppress(OSError):
            path.unlink()

    def _load(self, path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        if (known := self._loaded.get(path)) is not None:
            return known
        try:
            loaded = read_segment(path)
            if loaded[0]["keys"].shape[1:] != (2,):
                raise CorruptEntry(f"{path} has keys of shape {loaded[0]['keys'].shape}")
            self._loaded[path] = loaded
            return loaded
        except FileNotFoundError:
            return None  # merged away by another process
        except (CorruptEntry, KeyError, ValueError, TypeError):
            self.counts.corrupt += 1
            self._drop(path)
        except OSError:
            self.counts.errors += 1
        return None

    def _tidy(self, kind: str) -> None:
        """Merge small segments where there are many; keep the folder within its bound."""
        now = time.time()
        for path in self.folder.glob(f"*{TEMPORARY}"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _STALE_PART_S:
                    path.unlink()
        paths = self._paths(kind)
        if len(paths) > _MANY_SEGMENTS:
            self._merge(kind, [p for p in paths if _size(p) < self.max_bytes // 8])
        total = 0
        for path in self._paths():
            total += _size(path)
            if total > self.max_bytes:
                self._drop(path)

    def _merge(self, kind: str, paths: Sequence[Path]) -> None:
        loaded = [(path, found) for path in paths if (found := self._load(path)) is not None]
        if len(loaded) < 2:
            return
        keys = np.concatenate([arrays["keys"] for _, (arrays, _) in loaded])
        rows = Rows.concatenate([_rows_of(arrays) for _, (arrays, _) in loaded])
        seconds = sum(float(meta.get("seconds", 0.0)) for _, (_, meta) in loaded)
        self._write(kind, keys, rows, seconds)
        for path, _ in loaded:
            self._drop(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rows_of(arrays: Mapping[str, NDArray[Any]]) -> Rows:
    def named(prefix: str) -> dict[str, NDArray[Any]]:
        return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

    return Rows(named("fixed."), named("ragged."), arrays.get("offsets"))


class ObjectStore:
    """Keeps rows in a mapping or a raudo cache, one entry a document.

    The entry of a document is a dict of its arrays under a key of bytes. What the object raises as
    an `OSError` is counted; a value of another shape is a miss.
    """

    def __init__(self, target: Any) -> None:
        self.counts = StoreCounts()
        if hasattr(target, "get_nowait") and hasattr(target, "set_nowait"):
            self._get, self._set = target.get_nowait, target.set_nowait
        elif hasattr(target, "get") and hasattr(target, "__setitem__"):
            self._get, self._set = target.get, target.__setitem__
        else:
            raise TypeError(
                f"cache is {type(target).__name__}, wanted a folder, a mapping or a raudo cache"
            )

    def find(self, kind: str, keys: Keys) -> Found:
        positions, values = [], []
        for i, key in enumerate(keys):
            try:
                value = self._get(_name(kind, key))
            except OSError:
                self.counts.errors += 1
                continue
            if value is None:
                continue
            if not (isinstance(value, dict) and value.keys() == {"fixed", "ragged", "seconds"}):
                self.counts.corrupt += 1
                continue
            positions.append(i)
            values.append(value)
        if not values:
            return Found(np.empty(0, np.int64), None)
        fixed = {name: np.stack([v["fixed"][name] for v in values]) for name in values[0]["fixed"]}
        ragged = {
            name: np.concatenate([v["ragged"][name] for v in values])
            for name in values[0]["ragged"]
        }
        offsets = None
        if ragged:
            first = next(iter(ragged))
            offsets = np.zeros(len(values) + 1, np.int64)
            np.cumsum([len(v["ragged"][first]) for v in values], out=offsets[1:])
        seconds = sum(v["seconds"] for v in values)
        return Found(np.array(positions, np.int64), Rows(fixed, ragged, offsets), seconds)

    def add(self, kind: str, keys: Keys, rows: Rows, seconds: float) -> None:
        for i, key in enumerate(keys):
            row = rows.row(i)
            value = {
                "fixed": {name: np.array(row[name]) for name in rows.fixed},
                "ragged": {name: np.array(row[name]) for name in rows.ragged},
                "seconds": seconds / len(keys),
            }
            try:
                self._set(_name(kind, key), value)
            except OSError:
                self.counts.errors += 1


def _name(kind: str, key: NDArray[np.uint64]) -> bytes:
    return kind.encode() + b":" + key.tobytes()


def open_store(cache: Any) -> Store | None:
    """Return the store for what a caller gave as `cache`."""
    if cache is None:
        return None
    if isinstance(cache, str | os.PathLike):
        return FolderStore(cache)
    if hasattr(cache, "find") and hasattr(cache, "add") and hasattr(cache, "counts"):
        given: Store = cache
        return given
    return ObjectStore(cache)
