"""Parquet, Arrow and Feather files: a document a row of one column, by pyarrow.

Only the two columns that are wanted are read, a batch of rows at a time.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any, BinaryIO

from raudo.analysis.documents import Batch
from raudo.analysis.sources.lines import ID_NAMES, TEXT_NAMES, Fields
from raudo.analysis.sources.rows import documents_of
from raudo.analysis.sources.tally import Tally
from raudo.errors import MissingExtra

__all__ = ["COLUMN_SUFFIXES", "can_read_columns", "read_columns"]

COLUMN_SUFFIXES = frozenset({".parquet", ".arrow", ".arrows", ".feather", ".ipc"})
_ROWS = 8192


def can_read_columns() -> bool:
    """Return whether pyarrow is here."""
    return importlib.util.find_spec("pyarrow") is not None


def read_columns(
    file: BinaryIO, suffix: str, name: str, fields: Fields, tally: Tally
) -> Iterator[Batch]:
    """Yield the documents of a columnar file.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra(f"reading {name}", "arrow") from error
    try:
        schema, batches = _open(pyarrow, file, suffix)
        column = _text_column(pyarrow, schema, fields, batches)
        if column is None:
            tally.skip(f"no column {fields.text!r}" if fields.text else "no column of text", name)
            return
        names = (fields.id,) if fields.id else ID_NAMES
        id_column = next((each for each in names if each in schema.names), None)
        tally.note(f"{name}: the text is taken from column {column!r}")
        if id_column is None and fields.id is not None:
            tally.note(f"{name}: no column {fields.id!r}, the ids are file and row")
        first = 1
        for rows in batches([column, *([id_column] if id_column else [])]):
            texts = rows.column(column).to_pylist()
            own = None if id_column is None else _ids(rows.column(id_column).to_pylist())
            yield documents_of(name, range(first, first + rows.num_rows), texts, own, tally)
            first += rows.num_rows
    except (pyarrow.ArrowException, OSError, ValueError):
        # pyarrow has no error of its own for a damaged file
        tally.skip("damaged", name)


def _ids(values: list[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _open(pyarrow: Any, file: BinaryIO, suffix: str) -> tuple[Any, Any]:
    """Return the schema, and a function that yields record batches of some columns."""
    if suffix == ".parquet":
        table = importlib.import_module("pyarrow.parquet").ParquetFile(file)
        return table.schema_arrow, lambda names: table.iter_batches(_ROWS, columns=names)
    ipc = importlib.import_module("pyarrow.ipc")
    try:
        reader = ipc.open_file(file)
    except pyarrow.ArrowInvalid:
        file.seek(0)

        def streamed(names: list[str]) -> Iterator[Any]:
            file.seek(0)
            for rows in ipc.open_stream(file):
                yield from _cut(rows.select(names))

        return ipc.open_stream(file).schema, streamed
    return reader.schema, lambda names: (
        rows
        for i in range(reader.num_record_batches)
        for rows in _cut(reader.get_batch(i).select(names))
    )


def _cut(rows: Any) -> Iterator[Any]:
    for at in range(0, rows.num_rows, _ROWS):
        yield rows.slice(at, _ROWS)


def _text_column(pyarrow: Any, schema: Any, fields: Fields, batches: Any) -> str | None:
    """Choose the column named, or one of the usual names, or the longest of the first rows."""

    def holds_text(kind: Any) -> bool:
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        return bool(
            pyarrow.types.is_string(kind)
            or pyarrow.types.is_large_string(kind)
            or pyarrow.types.is_string_view(kind)
        )

    texts: list[str] = [field.name for field in schema if holds_text(field.type)]
    if fields.text is not None:
        return fields.text if fields.text in texts else None
    usual: str | None = next((name for name in TEXT_NAMES if name in texts), None)
    if usual is not None or len(texts) < 2:
        return usual or (texts[0] if texts else None)
    first = next(iter(batches(texts)), None)
    if first is None:
        return texts[0]
    totals = [sum(len(each or "") for each in column.to_pylist()) for column in first.columns]
    return texts[totals.index(max(totals))]
