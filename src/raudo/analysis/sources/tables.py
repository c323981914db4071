"""Comma- and tab-separated tables: a document a row.

A quote that is never closed would swallow the rest of its file: its line is then taken as it
stands, said, and reading goes on with the next one.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from raudo.analysis.documents import Batch
from raudo.analysis.sources.lines import (
    ID_NAMES,
    MAX_DOCUMENT_BYTES,
    TEXT_NAMES,
    Blocks,
    Fields,
)
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
    lines = chain.from_iterable(io.StringIO(block, newline="\n") for _, block in blocks)
    first = next(lines, "")
    rows = _Rows(chain([first], lines), name, tally, "\t" if tabs else _delimiter(first), not tabs)
    numbered = iter(rows)
    sample = list(islice(numbered, _SAMPLED))
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
        tally.note(f"{name}: the text is taken from column {header[column]!r}")
        if id_column is None and fields.id is not None:
            tally.note(f"{name}: no column {fields.id!r}, the ids are file and line")
    else:
        column = _longest([header, *rest])
        tally.note(f"{name}: no header, the text is taken from column {column + 1}")
    rows_left = chain(sample, numbered)
    while some := list(islice(rows_left, _ROWS)):
        yield _batch(some, name, column, id_column, tally)


def _batch(
    rows: Iterable[tuple[int, list[str]]],
    name: str,
    column: int,
    id_column: int | None,
    tally: Tally,
) -> Batch:
    batch = Batch()
    for number, row in rows:
        place = f"{name}:{number}"
        if column >= len(row):
            tally.skip("too few columns", place)
            continue
        content = row[column]
        if not content or content.isspace():
            tally.skip("empty", place)
            continue
        own = row[id_column] if id_column is not None and id_column < len(row) else None
        key = tally.claim(own or None, place)
        if key is not None:
            batch.ids.append(key)
            batch.texts.append(content)
            batch.paths.append(name)
    return batch


class _Rows:
    """Iterates over (line number, cells); a row that is no table row is skipped."""

    def __init__(
        self, lines: Iterator[str], name: str, tally: Tally, delimiter: str, quoted: bool
    ) -> None:
        self._lines, self._name, self._tally = lines, name, tally
        self._delimiter, self._quoted = delimiter, quoted
        self._row: list[str] = []  # the lines of the row at hand
        self._again: deque[str] = deque()  # lines that an unclosed quote had swallowed
        self._n_swallowed = 0

    def _recorded(self) -> Iterator[str]:
        while (
            line := self._again.popleft() if self._again else next(self._lines, None)
        ) is not None:
            self._row.append(line)
            yield line

    def _reader(self) -> Iterator[list[str]]:
        if not self._quoted:
            return csv.reader(self._recorded(), delimiter=self._delimiter, quoting=csv.QUOTE_NONE)
        # Strict, since a row of many lines that is not well-formed is a quote that ends elsewhere.
        return csv.reader(self._recorded(), delimiter=self._delimiter, strict=True)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        number = 0
        reader = self._reader()
        while True:
            self._row.clear()
            row: list[str] | None
            try:
                row = _next(reader)
            except StopIteration:
                return
            except csv.Error:
                row, is_unclosed = self._repaired()
                if is_unclosed:
                    self._tally.skip("a quote that is never closed", f"{self._name}:{number + 1}")
                    self._n_swallowed += len(self._row) - 1
                    self._quoted = self._quoted and self._n_swallowed < _MOST_SWALLOWED
                    self._again.extendleft(reversed(self._row[1:]))
                    del self._row[1:]
                    reader = self._reader()
            number += len(self._row)
            if row is None:
                self._tally.skip("not a table row", f"{self._name}:{number}")
            elif row:
                yield number, row

    def _repaired(self) -> tuple[list[str] | None, bool]:
        """Return the cells of the row's first line, and whether its quote is not closed there."""
        first, is_one_line = self._row[0], len(self._row) == 1
        try:
            row = _next(
                csv.reader(
                    [first],
                    delimiter=self._delimiter,
                    quoting=csv.QUOTE_MINIMAL if is_one_line else csv.QUOTE_NONE,
                )
            )
        except csv.Error:
            return None, not is_one_line
        return row, not is_one_line


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
