"""What each format of a trace looks like; see `raudo.cache.traces`."""

from __future__ import annotations

import array
import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core.recorder import MAGIC, TEXT_MAGIC
from raudo.errors import BadTrace

__all__ = ["FORMATS", "Trace"]

_BLOCK = np.dtype([("mark", "<u4"), ("n_keys", "<u4"), ("time_ns", "<i8"), ("check", "<u8")])
_BLOCK_MARK = 0x314B4C42
_BLOCK_KEYS = 4096
_ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
_ORACLE_AT_ONCE = 1 << 15
_KEY_COLUMNS = ("key", "k", "id", "obj_id", "object", "object_id")
_SIZE_COLUMNS = ("size", "bytes", "obj_size")
_TIME_COLUMNS = ("time", "t", "timestamp")
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order; keys that are no whole numbers are numbered by their first request."""

    keys: NDArray[np.int64]
    sizes: NDArray[np.int64] | None = None
    """Bytes of the object of each request."""
    seconds: float | None = None
    """From the first request to the last."""
    torn: str | None = None
    """What could not be read at the end of a recording."""
    is_whole: bool = True
    """False where there are more requests in the file than were asked for."""

    @property
    def n_unique(self) -> int:
        return len(np.unique(self.keys))


# --- a recording ----------------------------------------------------------------------------------


def _read_recording(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    start = stream.read(len(MAGIC))
    if start == TEXT_MAGIC[: len(MAGIC)]:
        return _read_recorded_keys(file, stream, limit)
    if start != MAGIC:
        raise BadTrace(f"{file}: begins with {start!r}, a recording with {MAGIC!r}")
    parts: list[NDArray[np.uint64]] = []
    at, n_read, torn = len(MAGIC), 0, None
    first_ns = last_ns = 0
    while stream.peek(1) and (limit is None or n_read < limit):
        problem, data, keys, time_ns = _read_block(stream)
        if problem is not None:
            if stream.peek(1):
                raise BadTrace(f"{file}: block at byte {at}: {problem}")
            torn = f"{file}: {data} bytes of a torn block at byte {at} were left out"
            break
        first_ns, last_ns = first_ns or time_ns, time_ns
        parts.append(keys)
        n_read += len(keys)
        at += data
    keys = np.concatenate(parts)[:limit] if parts else np.zeros(0, np.uint64)
    seconds = (last_ns - first_ns) / 1e9 if last_ns > first_ns else None
    return Trace(keys.view(np.int64), None, seconds, torn, limit is None or n_read <= limit)


def _read_block(stream: io.BufferedReader) -> tuple[str | None, int, NDArray[np.uint64], int]:
    """Return what is wrong with a block, how many bytes were read, its keys and its time."""
    none = np.zeros(0, np.uint64)
    data = stream.read(_BLOCK.itemsize)
    if len(data) < _BLOCK.itemsize:
        return "its header is cut off", len(data), none, 0
    header = np.frombuffer(data, _BLOCK)[0]
    n_keys = int(header["n_keys"])
    if int(header["mark"]) != _BLOCK_MARK:
        problem = f"begins with {int(header['mark']):#x}, wanted {_BLOCK_MARK:#x}"
        return problem, len(data), none, 0
    if not 0 < n_keys <= _BLOCK_KEYS:
        return f"has {n_keys} keys, wanted 1 to {_BLOCK_KEYS}", len(data), none, 0
    payload = stream.read(8 * n_keys)
    n_bytes = len(data) + len(payload)
    if len(payload) < 8 * n_keys:
        return "is cut off", n_bytes, none, 0
    keys = np.frombuffer(payload, "<u8")
    numbers = np.arange(1, n_keys + 1, dtype=np.uint64)
    total = (int(keys.sum(dtype=np.uint64)) + n_keys) % 2**64
    totals = int((numbers * keys).sum(dtype=np.uint64))
    check = total ^ ((totals << 32 | totals >> 32) % 2**64)
    wrong = None if check == int(header["check"]) else "does not check out"
    return wrong, n_bytes, keys, int(header["time_ns"])


def _read_recorded_keys(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    rest = stream.readline()
    if rest != TEXT_MAGIC[len(MAGIC) :]:
        raise BadTrace(f"{file}: begins with {TEXT_MAGIC[: len(MAGIC)] + rest!r}")
    torn: list[str] = []

    def whole_lines() -> Iterator[bytes]:
        for line in stream:
            if not line.endswith(b"\n"):
                torn.append(f"{file}: {len(line)} bytes of a torn line at its end were left out")
                return
            yield line

    keys = _numbered(whole_lines(), limit)
    return Trace(keys, torn=torn[0] if torn else None)


# --- binaries -------------------------------------------------------------------------------------


def _read_npz(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    try:
        # The archive's table is at its end: what cannot seek is read as a whole.
        source: Any = stream if stream.seekable() else io.BytesIO(stream.read())
        if not zipfile.is_zipfile(source):  # NumPy would speak of pickles
            raise BadTrace(f"{file}: not a whole .npz: no zip archive, or one that is cut off")
        source.seek(0)
        with np.load(source, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or "k" not in archive:
                names = getattr(archive, "files", "a single array")
                raise BadTrace(f"{file}: wanted an archive with an array 'k', it has {names}")
            keys = archive["k"]
            sizes = archive.get("size")
            times = archive.get("t")
    except BadTrace:
        raise
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, KeyError) as error:
        raise BadTrace(f"{file}: not a whole .npz of plain arrays: {error}") from error
    for name, values in (("k", keys), ("size", sizes), ("t", times)):
        if values is None:
            continue
        kinds = "iuSU" if name == "k" else "iuf"
        if values.ndim != 1 or values.dtype.kind not in kinds or len(values) != len(keys):
            raise BadTrace(
                f"{file}: array {name!r} is {values.dtype} of shape {values.shape}, wanted "
                f"{'one row of integers or strings' if name == 'k' else f'{len(keys)} numbers'}"
            )
    is_whole = limit is None or len(keys) <= limit
    if keys.dtype.kind in "SU":
        keys = _numbered(keys.tolist())
    elif keys.dtype == np.uint64:
        keys = keys.view(np.int64)
    seconds = _span(times[:limit].astype(np.float64)) if times is not None else None
    return Trace(
        keys[:limit].astype(np.int64),
        _checked_sizes(file, sizes[:limit]) if sizes is not None else None,
        seconds,
        is_whole=is_whole,
    )


def _read_oracle(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    parts: list[NDArray[Any]] = []
    n_read = 0
    while limit is None or n_read < limit:
        wanted = _ORACLE_AT_ONCE if limit is None else min(_ORACLE_AT_ONCE, limit - n_read)
        data = stream.read(wanted * _ORACLE.itemsize)
        n, left = divmod(len(data), _ORACLE.itemsize)
        n_read += n
        if left:
            raise BadTrace(
                f"{file}: {left} bytes after request {n_read:,} at byte "
                f"{n_read * _ORACLE.itemsize}: cut off, or not oracleGeneral, which has "
                f"{_ORACLE.itemsize} bytes a request"
            )
        if not n:
            break
        parts.append(np.frombuffer(data, _ORACLE))
    if not parts:
        return Trace(np.zeros(0, np.int64))
    ends = np.array([parts[0]["time"][0], parts[-1]["time"][-1]], np.float64)
    ids = np.concatenate([part["id"] for part in parts])
    sizes = np.concatenate([part["size"] for part in parts])
    return Trace(ids.view(np.int64), sizes.astype(np.int64), _span(ends))


# --- text -----------------------------------------------------------------------------------------


def _read_csv(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    lines = (line.decode("utf-8-sig", "surrogateescape") for line in _lines(file, stream))
    delimiter = "\t" if ".tsv" in file.name.lower() else ","
    rows = csv.reader(lines, delimiter=delimiter)
    columns: dict[str, int] = {}
    values: dict[str, array.array[float]] = {}

    def keys() -> Iterator[str]:
        for row in rows:
            if not row:
                continue
            if not columns:
                found, is_header = _columns_of(row)
                columns.update(found)
                values.update((name, array.array("d")) for name in columns if name != "key")
                if is_header:
                    continue
            if len(row) <= max(columns.values()):
                raise BadTrace(
                    f"{file}: line {rows.line_num}: {len(row)} columns, wanted more than "
                    f"{max(columns.values())}"
                )
            for name, each in values.items():
                each.append(_number(file, rows.line_num, name, row[columns[name]]))
            yield row[columns["key"]]

    try:
        numbers = _numbered(keys(), limit)
    except csv.Error as error:
        raise BadTrace(f"{file}: line {rows.line_num}: {error}") from error
    sizes = _checked_sizes(file, np.array(values["size"])) if "size" in values else None
    seconds = _span(np.array(values["time"])) if "time" in values else None
    return Trace(numbers, sizes, seconds)


def _columns_of(row: list[str]) -> tuple[dict[str, int], bool]:
    """Return the columns by what they hold, and whether the row is a header that said so."""
    names = [name.strip().lower() for name in row]
    found = {}
    for what, known in (("key", _KEY_COLUMNS), ("size", _SIZE_COLUMNS), ("time", _TIME_COLUMNS)):
        at = next((names.index(name) for name in known if name in names), None)
        if at is not None:
            found[what] = at
    return (found, True) if "key" in found else ({"key": 0}, False)


def _number(file: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not -1e18 < value < 1e18 or (name == "size" and value < 0):
        least = " >= 0" if name == "size" else ""
        raise BadTrace(f"{file}: line {line}: {name} is {text!r}, wanted a number{least}")
    return value


def _read_text(file: Path, stream: io.BufferedReader, limit: int | None) -> Trace:
    lines = (line.rstrip(b"\r\n") for line in _lines(file, stream))
    return Trace(_numbered((line for line in lines if line.strip()), limit))


def _lines(file: Path, stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield the lines; what is no text, such as another binary format, is refused."""
    at = number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if b"\0" in line:
            raise BadTrace(
                f"{file}: line {number}: byte {at + line.index(0)} is 0: no text; name the format "
                "if it is another"
            )
        if len(line) == _LONGEST_LINE:
            raise BadTrace(f"{file}: line {number}: longer than {_LONGEST_LINE:,} bytes: no text")
        at += len(line)
        yield line


def _numbered(keys: Iterable[object], limit: int | None = None) -> NDArray[np.int64]:
    numbers: dict[object, int] = {}
    found = array.array("q")
    for key in keys:
        found.append(numbers.setdefault(key, len(numbers)))
        if len(found) == limit:
            break
    return np.array(found, np.int64)


def _checked_sizes(file: Path, sizes: NDArray[Any]) -> NDArray[np.int64]:
    bad = np.flatnonzero(~((sizes >= 0) & (sizes < 2.0**62)))
    if len(bad):
        raise BadTrace(f"{file}: request {bad[0] + 1:,}: size is {sizes[bad[0]]}, wanted >= 0")
    return sizes.astype(np.int64)


def _span(times: NDArray[np.float64]) -> float | None:
    span = float(times[-1] - times[0]) if len(times) else 0.0
    return span if span > 0 else None


FORMATS: dict[str, Callable[[Path, io.BufferedReader, int | None], Trace]] = {
    "recording": _read_recording,
    "npz": _read_npz,
    "oracleGeneral": _read_oracle,
    "csv": _read_csv,
    "text": _read_text,
}
