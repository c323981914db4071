"""CSV as RFC 4180 has it, with a header, line feeds and UTF-8.

What holds a comma, a quote, a line feed or a carriage return is quoted (the standard library leaves
some carriage returns bare, and readers cut the row in two there).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar

from raudo.errors import BadRow, BadRowType, BadRowValue
from raudo.export._values import as_mapping, located
from raudo.export.formats.jsonl import new_encoder

__all__ = ["Csv"]


class _Writer:
    def __init__(self, file: BinaryIO, columns: tuple[Any, ...]) -> None:
        self._file, self._columns, self._encoder = file, columns, new_encoder()
        if columns:
            file.write(self._encoder.csv_line(columns))

    def write(self, rows: Sequence[Any]) -> None:
        block = rows if type(rows) is list else list(rows)
        try:
            self._encoder.csv_lines(block, self._columns, self._file.write)
        except (TypeError, ValueError, OverflowError, RecursionError, LookupError) as error:
            i = self._encoder.row
            bad = self._located(error, i, block[i]) if i < len(block) else None
            if bad is None:
                raise
            raise bad from error

    def _located(self, error: Exception, i: int, row: Any) -> BadRow | None:
        bad = located(error, i, row, lambda value: new_encoder().csv_line((value,)))
        if bad is None and (extra := as_mapping(row).keys() - set(self._columns)):
            reason = (
                "none of the first rows has this column, and the header is written already; give "
                "every row the same keys, or export as jsonl"
            )
            return BadRowValue(i, min(extra, key=str), reason)
        return bad

    def close(self) -> None:
        pass


class Csv:
    """Writes a header and a line a row. None is an empty cell; nested values are JSON text.

    The columns are the keys of the first 4,096 rows (times the parts), in order of appearance. A
    later row that lacks one leaves its cell empty; a later row with a new one is a `BadRowValue`.
    """

    name: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        columns: dict[Any, None] = {}
        for i, row in enumerate(sample):
            try:
                columns |= dict.fromkeys(as_mapping(row))
            except TypeError as error:
                raise BadRowType(i, None, str(error)) from error
        return _Writer(file, tuple(columns))
