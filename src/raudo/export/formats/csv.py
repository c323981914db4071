"""CSV after RFC 4180, with `\\n` between rows: a header, then one line a row, UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

from raudo.export._values import as_mapping, plain
from raudo.export.formats.jsonl import _ENCODER

__all__ = ["Csv"]

# What csv.writer spells as we want it: text as it is, numbers in full, None as nothing.
_VERBATIM = frozenset({str, int, float, type(None)})


def _cell(value: Any) -> Any:
    if type(value) in _VERBATIM:
        return value
    if isinstance(value, float):
        return float(value)
    try:
        value = plain(value)
    except RecursionError:
        raise ValueError("a value contains itself, or is nested too deep for CSV") from None
    return value if type(value) in _VERBATIM else _ENCODER.encode(value)


def _with_returns(lines: Sequence[Sequence[Any]]) -> str:
    """Spell rows that hold carriage returns: csv quotes one where it may be the end of a line.

    Before Python 3.13 it leaves the cell bare otherwise, and every reader cuts the row in two.
    """
    rows: list[str] = []
    for line in lines:
        file = io.StringIO()
        csv.writer(file, lineterminator="\r\n").writerow(line)
        rows.append(file.getvalue()[:-2] + "\n")
    return "".join(rows)


class _Writer:
    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file, self._columns, self._known = file, columns, frozenset(columns)
        if columns:
            self._put([columns])

    def write(self, rows: Sequence[Any]) -> None:
        self._put([self._cells(as_mapping(row)) for row in rows])

    def _cells(self, row: Mapping[str, Any]) -> list[Any]:
        if not row.keys() <= self._known:
            extra = sorted(map(str, row.keys() - self._known))
            raise ValueError(
                f"a row has the column {extra[0]!r}, which none of the first rows has, and the "
                f"header is written already; give every row the same keys, or export as jsonl"
            )
        return [_cell(row.get(column)) for column in self._columns]

    def _put(self, lines: Sequence[Sequence[Any]]) -> None:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(lines)
        text = file.getvalue()
        if "\r" in text:
            text = _with_returns(lines)
        self._file.write(text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        pass


class Csv:
    """Writes a header and a line a row. None is an empty cell; nested values are JSON text.

    The columns are the keys of the first 4,096 rows (times the parts), in order of appearance. A
    later row that lacks one leaves its cell empty; a later row with a new one is a `ValueError`.
    """

    name: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        columns = dict.fromkeys(key for row in sample for key in as_mapping(row))
        return _Writer(file, list(columns))
