"""Comma- and tab-separated tables: a document a row.

Rows that are well-formed are read by a kernel, thousands at once; the rest, and the first hundred,
by the csv module. A quote that is never closed would swallow the rest of its file: its line is then
taken as it stands, said, and reading goes on with the next one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice

from raudo._core.cells import pick
from raudo.analysis.documents import Batch
from raudo.analysis.sources.lines import (
    ID_NAMES,
    MAX_DOCUMENT_BYTES,
    TEXT_NAMES,
    Blocks,
    Fields,
)
from raudo.analysis.sources.rows import documents_of
from raudo.analysis.sources.tally import Tally

__all__ = ["read_table"]

_SAMPLED = 100
_ROWS = 4096
# Lines that were read again behind quotes that are never closed; after so many, quotes mean nothing
# in this file.
_MOST_SWALLOWED = 1_000_000


def read_table(
    blocks: Blocks, name: str, fields: Fields, tally: Tally, *, tabs: bool
) -> Iterator[Batch]:
    """Yield the documents of a table, whose first row may name its columns."""
    rows = _Rows(blocks, name, tally, tabs=tabs)
    sample = list(islice(rows, _SAMPLED))
    if not sample:
        return
    header = [cell.strip() for cell in sample[0][1]]
    column = _column(header, (fields.text,) if fields.text else TEXT_NAMES)
    id_column = _column(header, (fields.id,) if fields.id else ID_NAMES)
    if column is None and fields.text is not None:
        tally.skip(f"no column {fields.text!r}", name)
        return
    rest = [row for _, row in sample[1:]]
    if column is not None or id_column is not None or _is_header(header, rest):
        if column is None:
            column = _longest(rest or [header])
        sample = sample[1:]
        called = repr(header[column]) if column < len(header) else str(column + 1)
        tally.note(f"{name}: the text is taken from column {called}")
        if id_column is None and fields.id is not None:
            tally.note(f"{name}: no column {fields.id!r}, the ids are file and line")
    else:
        column = _longest([header, *rest])
        tally.note(f"{name}: no header, the text is taken from column {column + 1}")
    wanted = (column,) if id_column is None else (column, id_column)
    numbers = [number for number, _ in sample]
    cells = tuple([_cell(row, each) for _, row in sample] for each in wanted)
    while True:
        texts, *own = cells
        yield documents_of(
            name, numbers, texts, own[0] if own else None, tally, lacking="too few columns"
        )
        numbers, cells = rows.pick(wanted)
        if not numbers:
            return


def _cell(row: list[str], column: int) -> str | None:
    return row[column] if column < len(row) else None


class _Rows:
    """Iterates over (number of the last line, cells); a row that is no table row is skipped."""

    def __init__(self, blocks: Blocks, name: str, tally: Tally, *, tabs: bool) -> None:
        self._blocks, self._name, self._tally = blocks, name, tally
        self._data, self._at = b"", 0  # UTF-8; what comes before `at` is read
        self._number = 0
        self._more()
        first = self._data[: self._data.find(b"\n") + 1 or len(self._data)].decode()
        self._delimiter, self._quoted = "\t" if tabs else _delimiter(first), not tabs
        # The row at hand: where it begins in the data, what of it was in data before, its lines.
        self._start, self._n_lines = 0, 0
        self._carried: list[bytes] = []
        self._n_swallowed = 0
        self._reader = self._new_reader()

    def _more(self) -> bool:
        """Go on to the next block; False where there is none."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self._data, self._at = block[1].encode(), 0
        return True

    def _lines(self) -> Iterator[str]:
        """Iterate over the lines that are left, and keep those of the row at hand."""
        while True:
            if self._at == len(self._data):
                read = self._data[self._start :]
                if not self._more():
                    return
                if self._n_lines:
                    self._carried.append(read)
                self._start = 0
            end = self._data.find(b"\n", self._at) + 1 or len(self._data)
            line, self._at = self._data[self._at : end], end
            self._n_lines += 1
            yield line.decode()

    def _new_reader(self) -> Iterator[list[str]]:
        if not self._quoted:
            return csv.reader(self._lines(), delimiter=self._delimiter, quoting=csv.QUOTE_NONE)
        # Strict, since a row of many lines that is not well-formed is a quote that ends elsewhere.
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        while True:
            self._start, self._n_lines = self._at, 0
            self._carried.clear()
            row: list[str] | None
            try:
                row = _next(self._reader)
            except csv.Error:
                row, is_unclosed = self._repaired()
                if is_unclosed:
                    self._tally.skip(
                        "a quote that is never closed", f"{self._name}:{self._number + 1}"
                    )
                    self._n_swallowed += self._n_lines - 1
                    self._quoted = self._quoted and self._n_swallowed < _MOST_SWALLOWED
                    self._go_back()
            self._number += self._n_lines
            if row is None:
                self._tally.skip("not a table row", f"{self._name}:{self._number}")
            elif row:
                return self._number, row

    def _first_line(self) -> bytes:
        """Return the first line of the row at hand; a block ends with a line."""
        data, start = (self._carried[0], 0) if self._carried else (self._data, self._start)
        return data[start : data.find(b"\n", start) + 1 or len(data)]

    def _go_back(self) -> None:
        """Have all but the first line of the row at hand read again."""
        after = len(self._first_line())
        if self._carried:
            self._data = b"".join((*self._carried, self._data))
            self._start = 0
            self._carried.clear()
        self._at = self._start + after
        self._n_lines = 1
        self._reader = self._new_reader()

    def _repaired(self) -> tuple[list[str] | None, bool]:
        """Return the cells of the row's first line, and whether its quote is not closed there."""
        is_one_line = self._n_lines == 1
        try:
            row = _next(
                csv.reader(
                    [self._first_line().decode()],
                    delimiter=self._delimiter,
                    quoting=csv.QUOTE_MINIMAL if is_one_line else csv.QUOTE_NONE,
                )
            )
        except csv.Error:
            return None, not is_one_line
        return row, not is_one_line

    def pick(self, columns: tuple[int, ...]) -> tuple[list[int], tuple[list[str | None], ...]]:
        """Return the numbers and some cells of the next rows; None where a row has no such cell."""
        numbers: list[int] = []
        cells: tuple[list[str | None], ...] = tuple([] for _ in columns)
        while len(numbers) < _ROWS:
            self._at, self._number = pick(
                self._data,
                self._at,
                self._number,
                columns,
                _ROWS,
                self._delimiter,
                self._quoted,
                MAX_DOCUMENT_BYTES,
                numbers,
                cells,
            )
            if len(numbers) == _ROWS or (found := next(self, None)) is None:
                break
            numbers.append(found[0])
            for each, column in zip(cells, columns, strict=True):
                each.append(_cell(found[1], column))
        return numbers, cells


def _next(reader: Iterator[list[str]]) -> list[str]:
    """Return the next row. The limit of a cell is the whole process's: raised for a row alone."""
    limit = csv.field_size_limit(MAX_DOCUMENT_BYTES)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(limit)


def _delimiter(line: str) -> str:
    """Return what parts the cells of a table that is called comma-separated."""
    return "," if "," in line else max(",;\t|", key=line.count)


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Say whether the first row names columns: one of numbers has no number there."""
    return any(
        first[i] and not _is_number(first[i]) and all(_is_number(row[i]) for row in rest)
        for i in range(len(first))
        if rest and all(i < len(row) for row in rest)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    lowered = [cell.lower() for cell in header]
    return next((lowered.index(name.lower()) for name in names if name.lower() in lowered), None)


def _longest(rows: Sequence[Sequence[str]]) -> int:
    width = max(map(len, rows))
    totals = [sum(len(row[i]) for row in rows if i < len(row)) for i in range(width)]
    return totals.index(max(totals))
