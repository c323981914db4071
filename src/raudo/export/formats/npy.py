"""NumPy's `.npy`: rows of numbers as one array that `np.load(path, mmap_mode="r")` maps.

Rows that are sequences or arrays of one shape become an array of one more dimension; rows that are
mappings or dataclasses of numbers become a structured array. The number of rows is not known before
the last one, so the header is written twice: NumPy leaves room for that. Where the file cannot
seek (it is compressed, or remote) the array passes through an unnamed temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np
from numpy.lib import format as npy_format

from raudo.export._values import as_mapping

__all__ = ["Npy"]

_KINDS = "biufcmM"  # bool, integers, floats, complex, times: what has a fixed width


def _array(rows: Any, dtype: np.dtype[Any] | None) -> np.ndarray[Any, np.dtype[Any]]:
    if isinstance(rows, np.ndarray):
        array = rows
    elif len(rows) and (isinstance(rows[0], Mapping) or is_dataclass(rows[0])):
        array = _structured([as_mapping(row) for row in rows], dtype)
    else:
        try:
            array = np.asarray(rows)
        except ValueError as error:
            raise ValueError(f"npy wants rows of one shape: {error}") from None
    for name in array.dtype.names or [None]:
        kind = array.dtype.kind if name is None else array.dtype[name].kind
        if kind not in _KINDS:
            where = "rows" if name is None else f"column {name!r}"
            raise ValueError(f"npy holds numbers and times; {where} are {array.dtype}: use jsonl")
    if dtype is not None and array.dtype != dtype:
        if not np.can_cast(array.dtype, dtype, "safe"):
            raise ValueError(f"npy has one dtype: rows began as {dtype}, later are {array.dtype}")
        array = array.astype(dtype)
    return np.ascontiguousarray(array)


def _structured(
    rows: Sequence[Mapping[str, Any]], dtype: np.dtype[Any] | None
) -> np.ndarray[Any, np.dtype[Any]]:
    names = list(rows[0]) if dtype is None else list(dtype.names or ())
    for row in rows:
        if row.keys() != set(names):
            raise ValueError(
                f"npy wants every row to have the columns {names}, one has {list(row)}"
            )
    columns = {name: np.asarray([row[name] for row in rows]) for name in names}
    for name, column in columns.items():
        if column.dtype.kind not in _KINDS:
            raise ValueError(
                f"npy holds numbers and times; column {name!r} is {column.dtype}: use jsonl"
            )
    array = np.empty(
        len(rows), [(name, each.dtype, each.shape[1:]) for name, each in columns.items()]
    )
    for name, column in columns.items():
        array[name] = column
    return array


def _scratch() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


class _Writer:
    def __init__(self, file: BinaryIO, sample: Sequence[Any]) -> None:
        shape = _array(sample, None)
        self._dtype, self._row_shape, self._n_rows = shape.dtype, shape.shape[1:], 0
        self._target = file
        self._file = file if file.seekable() else _scratch()
        self._header_bytes = self._header()

    def _header(self) -> int:
        shape = (self._n_rows, *self._row_shape)
        descr = npy_format.dtype_to_descr(self._dtype)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        npy_format.write_array_header_1_0(self._file, fields)
        return self._file.tell()

    def write(self, rows: Sequence[Any]) -> None:
        array = _array(rows, self._dtype)
        if array.shape[1:] != self._row_shape:
            raise ValueError(
                f"npy wants rows of one shape: began as {self._row_shape}, later {array.shape[1:]}"
            )
        self._file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
        self._n_rows += len(array)

    def close(self) -> None:
        try:
            end = self._file.tell()
            self._file.seek(0)
            if self._header() != self._header_bytes:
                raise ValueError(
                    f"{self._n_rows} rows do not fit the header that was left for them"
                )
            self._file.seek(end)
            if self._file is not self._target:
                self._file.seek(0)
                shutil.copyfileobj(self._file, self._target, 1 << 20)
        finally:
            if self._file is not self._target:
                self._file.close()


class Npy:
    """Writes one array, of the dtype that NumPy gives the first 4,096 rows (times the parts)."""

    name: ClassVar[str] = "npy"
    suffix: ClassVar[str] = ".npy"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        return _Writer(file, sample)
