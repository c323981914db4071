"""The file of an index: a checked header, then arrays, each on a 64-byte boundary.

    magic 8 bytes | length and CRC-32 of the header, u32 little-endian each | header, JSON | arrays

The header names each array with dtype, shape, offset and CRC-32, and the whole file's length. A
file is written aside and put in place whole, so that a reader sees the old one or the new one.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from raudo.errors import CorruptEntry

__all__ = ["Arrays", "fitting", "read_arrays", "write_arrays"]

Arrays = dict[str, NDArray[Any]]

_MAGIC = b"raudoIX2"
_LENGTHS = struct.Struct("<II")
_ALIGNMENT = 64
_CHUNK_BYTES = 4 << 20
_DTYPES = ("<f4", "<i4", "<i8", "|u1")


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def write_arrays(
    path: str | os.PathLike[str], meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write `meta` and `arrays` to `path`, atomically and durably.

    Arrays may be changed meanwhile where nobody looks: what is written is what was summed up.
    """
    little = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        for name, array in arrays.items()
    }
    described: list[dict[str, Any]] = []
    offset = 0
    for name, array in little.items():
        described.append(
            {
                "name": name,
                "dtype": array.dtype.str,
                "shape": array.shape,
                "offset": offset,
                "crc32": "00000000",
            }
        )
        offset = _aligned(offset + array.nbytes)
    head = {"meta": dict(meta), "bytes": offset, "arrays": described}
    target = Path(path)
    descriptor, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "wb") as file:
            start = _write_header(file, head)
            for entry, array in zip(described, little.values(), strict=True):
                file.seek(start + entry["offset"])
                entry["crc32"] = f"{_write_array(file, array):08x}"
            file.truncate(start + offset)
            file.seek(0)
            _write_header(file, head)  # as long as before
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _write_header(file: BinaryIO, head: Mapping[str, Any]) -> int:
    """Write the header; return where the arrays begin."""
    header = json.dumps(head).encode()
    file.write(_MAGIC + _LENGTHS.pack(len(header), zlib.crc32(header)) + header)
    return _aligned(file.tell())


def _write_array(file: BinaryIO, array: NDArray[Any]) -> int:
    """Write an array; return the CRC-32 of what was written."""
    crc, raw = 0, _bytes_of(array)
    for lo in range(0, len(raw), _CHUNK_BYTES):
        chunk = raw[lo : lo + _CHUNK_BYTES].tobytes()
        crc = zlib.crc32(chunk, crc)
        file.write(chunk)
    return crc


def read_arrays(
    path: str | os.PathLike[str], *, mapped: bool = False, checked: Collection[str] = ()
) -> tuple[dict[str, Any], Arrays]:
    """Read what `write_arrays` wrote; `CorruptEntry` when anything does not check out.

    With `mapped` arrays are read-only views of the file, which is read where it is looked at; only
    those named in `checked` are held against their sums.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        head, start = _read_header(file, name)
        size = os.fstat(file.fileno()).st_size
        try:
            described, n_bytes = head["arrays"], start + int(head["bytes"])
            if not isinstance(head["meta"], dict):
                raise TypeError("meta is no object")
            spans = [_span(entry, start, n_bytes) for entry in described]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptEntry(f"{name} has a header that says nothing: {error}") from error
        if size != n_bytes:
            raise CorruptEntry(f"{name} has {size} bytes, its header says {n_bytes}")
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else None
        arrays = {}
        for entry, (dtype, shape, offset) in zip(described, spans, strict=True):
            if whole is None:
                array = np.empty(shape, dtype)
                file.seek(offset)
                if array.size and file.readinto(_bytes_of(array).data) < array.nbytes:
                    raise CorruptEntry(f"{name} ends within {entry['name']}")
            else:
                array = np.frombuffer(whole, dtype, math.prod(shape), offset).reshape(shape)
            is_checked = whole is None or entry["name"] in checked
            if is_checked and f"{zlib.crc32(_bytes_of(array).data):08x}" != entry["crc32"]:
                raise CorruptEntry(f"{name} is damaged in {entry['name']}")
            arrays[entry["name"]] = array.astype(dtype.newbyteorder("="), copy=False)
    return head["meta"], arrays


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _read_header(file: BinaryIO, name: str) -> tuple[dict[str, Any], int]:
    start = file.read(len(_MAGIC) + _LENGTHS.size)
    if len(start) < len(_MAGIC) + _LENGTHS.size or not start.startswith(_MAGIC):
        raise CorruptEntry(f"{name} is not an index of raudo")
    length, checksum = _LENGTHS.unpack(start[len(_MAGIC) :])
    header = file.read(min(length, os.fstat(file.fileno()).st_size))
    if len(header) != length or zlib.crc32(header) != checksum:
        raise CorruptEntry(f"{name} is damaged in its header")
    try:
        return json.loads(header), _aligned(file.tell())
    except ValueError as error:
        raise CorruptEntry(f"{name} has a header that is no JSON") from error


def _span(
    entry: Mapping[str, Any], start: int, end: int
) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return dtype, shape and place of an array that lies within the file."""
    dtype = np.dtype(entry["dtype"])
    shape = tuple(int(length) for length in entry["shape"])
    offset = start + int(entry["offset"])
    if not isinstance(entry["name"], str):
        raise TypeError(f"a name that is {entry['name']!r}")
    if dtype.str not in _DTYPES or min(shape, default=0) < 0 or int(entry["offset"]) < 0:
        raise ValueError(f"an array of {dtype} {shape}")
    if offset % _ALIGNMENT:  # the kernels read whole elements
        raise ValueError(f"{entry['name']} begins at byte {offset}")
    if offset + dtype.itemsize * math.prod(shape) > end:
        raise ValueError(f"{entry['name']} lies beyond the end")
    return dtype, shape, offset


def fitting(arrays: Arrays, name: str, length: int, like: NDArray[Any]) -> NDArray[Any]:
    """Return the array of that name; a ValueError unless it is like another, but for its length."""
    array, shape = arrays[name], (length, *like.shape[1:])
    if (array.dtype, array.shape) != (like.dtype, shape):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}, not {like.dtype} {shape}"
        )
    return array
