"""Reads request traces: which keys were asked for, in order.

Formats, told apart by what a file begins with and by its name:

    recording      what `Cache(record=PATH)` wrote
    npz            NumPy archive: array `k` (keys), optional `size` (bytes) and `t` (seconds)
    oracleGeneral  of libCacheSim (https://github.com/1a1a11a/libCacheSim): 24 bytes a request, u32
                   time in seconds, u64 id, u32 size, i64 number of the id's next request
    csv            one request a row; with a header its columns `key`, `size` and `time`, else the
                   first column
    text           one key a line; empty lines do not count

Each also compressed, by its name's last suffix: .gz, .bz2, .xz, .zst (extra `zstd`). A file that is
cut off or is not what it should be is a `BadTrace` that names the file and the place; only a
recording may end in a torn block, as the process that wrote it may have been killed.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raudo._core.recorder import MAGIC
from raudo.errors import BadTrace, MissingExtra

__all__ = ["FORMATS", "Trace", "read_trace"]

_BLOCK = np.dtype([("mark", "<u4"), ("n_keys", "<u4"), ("time_ns", "<i8"), ("check", "<u8")])
_BLOCK_MARK = 0x314B4C42
_ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
_KEY_COLUMNS = ("key", "k", "id", "obj_id", "object", "object_id")
_SIZE_COLUMNS = ("size", "bytes", "obj_size")
_TIME_COLUMNS = ("time", "t", "timestamp")


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

    @property
    def n_unique(self) -> int:
        return len(np.unique(self.keys))


def read_trace(
    path: str | os.PathLike[str], *, format: str = "auto", limit: int | None = None
) -> Trace:
    """Return the requests of a trace file, at most `limit` of them.

    Raises `BadTrace` for what is not a whole trace, `OSError` for what cannot be read and
    `ValueError` for another format than `FORMATS` has. The whole file is read into memory.
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"format: wanted one of auto, {', '.join(FORMATS)}, got {format!r}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: wanted a number >= 1 or None, got {limit!r}")
    file = Path(path)
    data = _unpacked(file, file.read_bytes())
    trace = FORMATS[_format_of(file, data) if format == "auto" else format](file, data, limit)
    if not len(trace.keys):
        raise BadTrace(f"{file}: no request in {len(data)} bytes")
    return trace


def _unpacked(file: Path, data: bytes) -> bytes:
    name = file.suffix.lower()
    try:
        if name == ".gz":
            import gzip

            return gzip.decompress(data)
        if name == ".bz2":
            import bz2

            return bz2.decompress(data)
        if name == ".xz":
            import lzma

            return lzma.decompress(data)
        if name == ".zst":
            return _unpacked_zstd(data)
    except MissingExtra:
        raise
    except Exception as error:  # each library has its own; what they say is passed on
        raise BadTrace(
            f"{file}: cannot be decompressed, {len(data)} bytes of {name[1:]}: {error}"
        ) from error
    return data


def _unpacked_zstd(data: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("reading .zst files", "zstd") from error
    parts = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(data))
        if not frame.eof:
            raise ValueError(f"frame {len(parts)} is cut off")
        data = frame.unused_data
    return b"".join(parts)


def _format_of(file: Path, data: bytes) -> str:
    if data.startswith(MAGIC):
        return "recording"
    if data.startswith(b"PK\x03\x04"):
        return "npz"
    names = [suffix.lower() for suffix in file.suffixes]
    if ".npz" in names:
        return "npz"  # which will say what is wrong with it
    if "oraclegeneral" in file.name.lower() or ".bin" in names:
        return "oracleGeneral"
    return "csv" if ".csv" in names or ".tsv" in names else "text"


# --- one function a format ------------------------------------------------------------------------


def _read_recording(file: Path, data: bytes, limit: int | None) -> Trace:
    if not data.startswith(MAGIC):
        raise BadTrace(f"{file}: begins with {data[:8]!r}, a recording with {MAGIC!r}")
    parts: list[NDArray[np.uint64]] = []
    at, n_read, torn = len(MAGIC), 0, None
    first_ns = last_ns = 0
    while at < len(data) and (limit is None or n_read < limit):
        problem, keys, time_ns = _read_block(data, at)
        end = at + _BLOCK.itemsize + 8 * len(keys)
        if problem is not None:
            if end < len(data):
                raise BadTrace(f"{file}: block at byte {at}: {problem}")
            torn = f"{file}: {len(data) - at} bytes of a torn block at byte {at} were left out"
            break
        first_ns, last_ns = first_ns or time_ns, time_ns
        parts.append(keys)
        n_read += len(keys)
        at = end
    keys = np.concatenate(parts)[:limit] if parts else np.zeros(0, np.uint64)
    seconds = (last_ns - first_ns) / 1e9 if last_ns > first_ns else None
    return Trace(keys.view(np.int64), seconds=seconds, torn=torn)


def _read_block(data: bytes, at: int) -> tuple[str | None, NDArray[np.uint64], int]:
    """Return what is wrong with a block, its keys as far as they are there, and its time."""
    if len(data) - at < _BLOCK.itemsize:
        return "its header is cut off", np.zeros(len(data) - at, np.uint64), 0
    header = np.frombuffer(data, _BLOCK, 1, at)[0]
    n_keys = int(header["n_keys"])
    n_there = min(n_keys, (len(data) - at - _BLOCK.itemsize) // 8)
    keys = np.frombuffer(data, "<u8", n_there, at + _BLOCK.itemsize)
    if int(header["mark"]) != _BLOCK_MARK:
        return f"begins with {int(header['mark']):#x}, wanted {_BLOCK_MARK:#x}", keys[:0], 0
    if n_there < n_keys:  # whatever is left belongs to it
        return "is cut off", np.zeros(n_keys, np.uint64), 0
    numbers = np.arange(1, n_keys + 1, dtype=np.uint64)
    total = (int(keys.sum(dtype=np.uint64)) + n_keys) % 2**64
    totals = int((numbers * keys).sum(dtype=np.uint64))
    check = total ^ ((totals << 32 | totals >> 32) % 2**64)
    return (
        None if check == int(header["check"]) else "does not check out",
        keys,
        int(header["time_ns"]),
    )


def _read_npz(file: Path, data: bytes, limit: int | None) -> Trace:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
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
    for name, array in (("k", keys), ("size", sizes), ("t", times)):
        if array is None:
            continue
        kinds = "iuSU" if name == "k" else "iuf"
        if array.ndim != 1 or array.dtype.kind not in kinds or len(array) != len(keys):
            raise BadTrace(
                f"{file}: array {name!r} is {array.dtype} of shape {array.shape}, wanted one "
                f"{'key' if name == 'k' else 'number'} for each of {keys.shape} keys"
            )
    if keys.dtype.kind in "SU":
        keys = _numbered(keys.tolist())
    elif keys.dtype == np.uint64:
        keys = keys.view(np.int64)
    seconds = _span(times[:limit].astype(np.float64)) if times is not None else None
    return Trace(
        keys[:limit].astype(np.int64),
        sizes[:limit].astype(np.int64) if sizes is not None else None,
        seconds,
    )


def _read_oracle(file: Path, data: bytes, limit: int | None) -> Trace:
    n, left = divmod(len(data), _ORACLE.itemsize)
    if left:
        raise BadTrace(
            f"{file}: {left} bytes after request {n:,} at byte {n * _ORACLE.itemsize}: cut off, or "
            f"not oracleGeneral, which has {_ORACLE.itemsize} bytes a request"
        )
    records = np.frombuffer(data, _ORACLE)[:limit]
    return Trace(
        records["id"].astype(np.uint64).view(np.int64),
        records["size"].astype(np.int64),
        _span(records["time"].astype(np.float64)),
    )


def _read_csv(file: Path, data: bytes, limit: int | None) -> Trace:
    lines = io.StringIO(_text(file, data), newline="")
    delimiter = "\t" if ".tsv" in file.name.lower() else ","
    rows = csv.reader(lines, delimiter=delimiter)
    keys: list[str] = []
    columns: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    try:
        for row in rows:
            if not row:
                continue
            if not columns:
                columns, is_header = _columns_of(row)
                values = {name: [] for name in columns if name != "key"}
                if is_header:
                    continue
            if len(row) <= max(columns.values()):
                raise BadTrace(
                    f"{file}: line {rows.line_num}: {len(row)} columns, wanted more than "
                    f"{max(columns.values())}"
                )
            keys.append(row[columns["key"]])
            for name, each in values.items():
                each.append(_number(file, rows.line_num, name, row[columns[name]]))
            if len(keys) == limit:
                break
    except csv.Error as error:
        raise BadTrace(f"{file}: line {rows.line_num}: {error}") from error
    sizes = np.array(values["size"]).astype(np.int64) if "size" in values else None
    seconds = _span(np.array(values["time"])) if "time" in values else None
    return Trace(_numbered(keys), sizes, seconds)


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
        return float(text)
    except ValueError:
        raise BadTrace(f"{file}: line {line}: {name} is {text!r}, wanted a number") from None


def _read_text(file: Path, data: bytes, limit: int | None) -> Trace:
    _text(file, data)
    keys = [line for line in data.splitlines() if line.strip()]
    return Trace(_numbered(keys[:limit]))


def _text(file: Path, data: bytes) -> str:
    """Return the file as text; what is not, such as another binary format, is refused."""
    at = data.find(b"\0")
    if at >= 0:
        raise BadTrace(f"{file}: byte {at} is 0: no text; name the format if it is one of these")
    return data.decode("utf-8-sig", "surrogateescape")


def _numbered(keys: Iterable[object]) -> NDArray[np.int64]:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _span(times: NDArray[np.float64]) -> float | None:
    span = float(times[-1] - times[0]) if len(times) else 0.0
    return span if span > 0 else None


FORMATS: dict[str, Callable[[Path, bytes, int | None], Trace]] = {
    "recording": _read_recording,
    "npz": _read_npz,
    "oracleGeneral": _read_oracle,
    "csv": _read_csv,
    "text": _read_text,
}
