"""The file of an index: a checked header, then arrays, each on a 64-byte boundary.

    magic 8 bytes | length and CRC-32 of the header, u32 little-endian each | header, JSON | arrays

The header names each array with dtype, shape, offset and CRC-32. A file is written aside and put in
place whole, so that a reader sees the old one or the new one.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.errors import CorruptEntry

__all__ = ["read_arrays", "write_arrays"]

_MAGIC = b"raudoIX1"
_LENGTHS = struct.Struct("<II")
_ALIGNMENT = 64
_DTYPES = ("<f4", "<i8", "|u1")


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def write_arrays(
    path: str | os.PathLike[str], meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write `meta` and `arrays` (little-endian) to `path`, atomically and durably."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    described: list[dict[str, Any]] = []
    offset = 0
    for name, array in contiguous.items():
        described.append(
            {
                "name": name,
                "dtype": array.dtype.str,
                "shape": array.shape,
                "offset": offset,
                "crc32": zlib.crc32(array.data if array.size else b""),
            }
        )
        offset = _aligned(offset + array.nbytes)
    header = json.dumps({"meta": dict(meta), "arrays": described}).encode()
    target = Path(path)
    descriptor, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + _LENGTHS.pack(len(header), zlib.crc32(header)) + header)
            start = _aligned(file.tell())
            for entry, array in zip(described, contiguous.values(), strict=True):
                file.write(b"\0" * (start + entry["offset"] - file.tell()))
                file.write(array.data if array.size else b"")
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_arrays` wrote; `CorruptEntry` when anything does not check out."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(_MAGIC) + _LENGTHS.size)
        if len(start) < len(_MAGIC) + _LENGTHS.size or not start.startswith(_MAGIC):
            raise CorruptEntry(f"{os.fspath(path)} is not an index of raudo")
        length, checksum = _LENGTHS.unpack(start[len(_MAGIC) :])
        header = file.read(min(length, size))
        if len(header) != length or zlib.crc32(header) != checksum:
            raise CorruptEntry(f"{os.fspath(path)} is damaged in its header")
        first = _aligned(file.tell())
        described = json.loads(header)
        arrays = {}
        for entry in described["arrays"]:
            arrays[entry["name"]] = _read_array(file, first, size, entry, os.fspath(path))
    return described["meta"], arrays


def _read_array(file: Any, first: int, size: int, entry: dict[str, Any], path: str) -> NDArray[Any]:
    if entry["dtype"] not in _DTYPES:
        raise CorruptEntry(f"{path} has an array of dtype {entry['dtype']}")
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    n_bytes = dtype.itemsize * int(np.prod(shape, dtype=object))
    offset = first + entry["offset"]
    if n_bytes and offset + n_bytes > size:
        raise CorruptEntry(f"{path} ends within {entry['name']}")
    array = np.empty(shape, dtype)
    if n_bytes:
        file.seek(offset)
        file.readinto(array.reshape(-1).view(np.uint8).data)
    if zlib.crc32(array.data if array.size else b"") != entry["crc32"]:
        raise CorruptEntry(f"{path} is damaged in {entry['name']}")
    return array.astype(dtype.newbyteorder("="), copy=False)
