"""NumPy's `.npy`: rows of numbers as one array that `np.load(path, mmap_mode="r")` maps.

Rows that are sequences or arrays of one shape become an array of one more dimension; rows that are
mappings or dataclasses of numbers become a structured array. The number of rows is not known before
the last one, so the header is written twice: NumPy leaves room for that. Where the file cannot
seek (it is compressed, or remote) the array passes through an unnamed temporary file.
"""

from __future__ import annotations

import bisect
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np
from numpy.lib import format as npy_format

from raudo.errors import BadRowType, BadRowValue
from raudo.export._values import as_mapping

__all__ = ["Npy"]

_KINDS = "biufcmM"  # bool, integers, floats, complex, times: what has a fixed width


def _array(rows: Any, dtype: np.dtype[Any] | None) -> np.ndarray[Any, np.dtype[Any]]:
    if isinstance(rows, np.ndarray):
        array = rows
    elif len(rows) and (isinstance(rows[0], Mapping) or is_dataclass(rows[0])):
        array = _structured(rows, dtype)
    else:
        array = _uniform(rows, None, dtype)
    for name in array.dtype.names or [None]:
        kind = array.dtype.kind if name is None else array.dtype[name].kind
        if kind not in _KINDS:
            raise BadRowValue(0, name, f"npy holds numbers and times, not {array.dtype}: use jsonl")
    if dtype is not None and array.dtype != dtype:
        if not np.can_cast(array.dtype, dtype, "safe"):
            reason = f"npy has one dtype: rows began as {dtype}, later are {array.dtype}"
            raise BadRowValue(0, None, reason)
        array = array.astype(dtype)
    return np.ascontiguousarray(array)


def _uniform(
    values: Sequence[Any], column: str | None, dtype: np.dtype[Any] | None
) -> np.ndarray[Any, np.dtype[Any]]:
    """Return values as one array, of a dtype that npy holds and that casts to the one given.

    Of values that do not fit the first is named: the last of the shortest start that does not.
    """
    array = _fitting(values, dtype)
    if array is not None:
        return array
    row = bisect.bisect_left(
        range(1, len(values)), True, key=lambda n: _fitting(values[:n], dtype) is None
    )
    shown = f"{values[row]!r:.80}"
    if dtype is None:
        reason = (
            f"npy holds numbers and times of one shape; {shown} is none, or of another: use jsonl"
        )
    else:
        reason = f"npy has one dtype: rows began as {dtype}, which {shown} does not fit"
    raise BadRowValue(row, column, reason)


def _fitting(
    values: Sequence[Any], dtype: np.dtype[Any] | None
) -> np.ndarray[Any, np.dtype[Any]] | None:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        return None
    if array.dtype.names is None and array.dtype.kind not in _KINDS:
        return None
    if dtype is not None and len(array) and not np.can_cast(array.dtype, dtype.base, "safe"):
        return None
    return array


def _structured(rows: Sequence[Any], dtype: np.dtype[Any] | None) -> np.ndarray[Any, np.dtype[Any]]:
    names = list(as_mapping(rows[0])) if dtype is None else list(dtype.names or ())
    wanted = set(names)
    mappings: list[Mapping[str, Any]] = []
    for i, row in enumerate(rows):
        try:
            mappings.append(as_mapping(row))
        except TypeError as error:
            raise BadRowType(i, None, str(error)) from error
        if differing := mappings[-1].keys() ^ wanted:
            reason = f"npy wants every row to have the columns {names}, one has {list(mappings[i])}"
            raise BadRowValue(i, min(differing, key=str), reason)
    columns = {
        name: _uniform(
            [row[name] for row in mappings], name, None if dtype is None else dtype[name]
        )
        for name in names
    }
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
            reason = f"npy wants one shape: began as {self._row_shape}, here {array.shape[1:]}"
            raise BadRowValue(0, None, reason)
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
