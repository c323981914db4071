"""One file of named arrays: mapped, checksummed, versioned, written whole or not at all.

    magic 8 bytes | version u32 | header length u32 | checksum of the header u64 | header (JSON)
    arrays, each at a multiple of 64 bytes

The header names each array's dtype, shape, place and checksum. Numbers are little-endian. A file
that does not check out, to the last byte, is a `CorruptEntry`.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core.text import hash_bytes
from raudo.errors import CorruptEntry

__all__ = ["TEMPORARY", "read_segment", "write_segment"]

MAGIC = b"RAUDOSEG"
VERSION = 2
TEMPORARY = ".part"
_HEAD = struct.Struct("<8sIIQ")
_ALIGN = 64
_DTYPES = frozenset({"<u8", "<i8", "<u4", "<i4", "<f4", "<f8", "|u1"})


def _aligned(at: int) -> int:
    return -(-at // _ALIGN) * _ALIGN


def write_segment(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> int:
    """Put a file in its place, replacing what was there; return its size in bytes.

    It is written under a name of its own beside `path` and renamed at the end: a reader sees the
    old file or the new one, and a crash leaves at most a `.part`.
    """
    ready = {name: _little_endian(array) for name, array in arrays.items()}
    entries: list[dict[str, Any]] = []
    at = 0
    for name, array in ready.items():
        at = _aligned(at)
        entries.append(
            {
                "name": name,
                "dtype": array.dtype.str,
                "shape": array.shape,
                "at": at,
                "check": _checksum(array),
            }
        )
        at += array.nbytes
    header = json.dumps({"arrays": entries, "meta": dict(meta)}).encode()
    start = _aligned(_HEAD.size + len(header))
    part = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}")
    try:
        with open(part, "xb") as file:
            file.write(_HEAD.pack(MAGIC, VERSION, len(header), hash_bytes(header)))
            file.write(header)
            for entry, array in zip(entries, ready.values(), strict=True):
                file.seek(start + entry["at"])
                file.write(_bytes_of(array).data)
            file.truncate(start + at)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return start + at


def read_segment(
    path: Path, *, check: bool = True
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays, read-only views of the mapped file, and the meta data. Without `check`
    their bytes are not looked at: for who knows that nobody wrote to the file since they were.

    Raises:
        CorruptEntry: The file is not one of ours, of another version, cut short or damaged.
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _HEAD.size:
            raise CorruptEntry(f"{path} is {size} bytes long, shorter than a header")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, version, length, head_check = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise CorruptEntry(f"{path} is not a segment of version {VERSION}")
    header = data[_HEAD.size : _HEAD.size + length]
    if len(header) != length or hash_bytes(header) != head_check:
        raise CorruptEntry(f"{path} has a damaged header")
    described = json.loads(bytes(header))
    start = _aligned(_HEAD.size + length)
    arrays = {}
    for entry in described["arrays"]:
        if entry["dtype"] not in _DTYPES:
            raise CorruptEntry(f"{path} holds an array of dtype {entry['dtype']}")
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        at, n_bytes = start + entry["at"], dtype.itemsize * int(np.prod(shape, dtype=object))
        if entry["at"] < 0 or at % _ALIGN:
            raise CorruptEntry(f"{path} has the array {entry['name']!r} in no place of one")
        if at + n_bytes > size:
            raise CorruptEntry(f"{path} is cut short")
        array = np.frombuffer(data[at : at + n_bytes], dtype).reshape(shape)
        if check and _checksum(array) != entry["check"]:
            raise CorruptEntry(f"{path} has a damaged array {entry['name']!r}")
        arrays[entry["name"]] = array
    return arrays, described["meta"]


def _checksum(array: NDArray[Any]) -> int:
    return hash_bytes(_bytes_of(array))


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    if sys.byteorder == "big" and array.dtype.itemsize > 1:
        return array.astype(array.dtype.newbyteorder("<"))
    return array
