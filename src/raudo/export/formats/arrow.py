"""Apache Arrow's file format and Parquet, through pyarrow (the `arrow` extra).

Both compress inside the file, column by column; `compression="auto"` is lz4. The schema comes from
the first 4,096 rows (times the parts).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from types import ModuleType
from typing import Any, BinaryIO, ClassVar

from raudo.errors import BadRowType, BadRowValue, MissingExtra
from raudo.export._values import as_mapping

__all__ = ["Arrow", "Parquet"]

GROUP_ROWS = 1 << 20
GROUP_BYTES = 64 << 20


def _pyarrow(format_name: str) -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra(f"the format {format_name}", "arrow") from error
    module: ModuleType = pyarrow
    return module


_FLAT = frozenset({str, int, float, bool, type(None), bytes, date, datetime, time, timedelta})


def _native(value: Any) -> Any:
    """Give NumPy scalars inside nested values their Python form; pyarrow takes the rest."""
    if hasattr(value, "tolist") and getattr(getattr(value, "dtype", None), "kind", "M") not in "mM":
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _native(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_native(each) for each in value]
    return value


def _spelled(value: Any) -> Any:
    """Spell lone surrogates, such as names of files may have, as `\\udXXX`: Arrow has none."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_spelled(key): _spelled(each) for key, each in value.items()}
    if isinstance(value, list):
        return list(map(_spelled, value))
    return value


def _refusals(arrow: ModuleType) -> tuple[type[Exception], ...]:
    """Return what pyarrow, and the way to it, raises for values that it has no place for."""
    invalid, unfit = arrow.ArrowInvalid, arrow.ArrowTypeError
    return invalid, unfit, arrow.ArrowNotImplementedError, OverflowError, RecursionError


def _mappings(rows: Sequence[Any]) -> list[Mapping[Any, Any]]:
    mappings = []
    for i, row in enumerate(rows):
        try:
            mappings.append(row if type(row) is dict else as_mapping(row))
        except TypeError as error:
            raise BadRowType(i, None, str(error)) from error
    return mappings


def _column(arrow: ModuleType, name: Any, values: list[Any], type_: Any = None) -> Any:
    """Return a column as an Arrow array, of the type that pyarrow infers where none is given."""
    refusals = _refusals(arrow)
    native = values
    try:
        # What holds itself crashes pyarrow: only these types are known not to.
        if not _FLAT.issuperset(map(type, values)):
            native = list(map(_native, values))
        try:
            return arrow.array(native, type_)
        except UnicodeEncodeError:
            native = list(map(_spelled, native))
            return arrow.array(native, type_)
    except refusals as error:
        if isinstance(error, RecursionError):
            row = next(i for i, value in enumerate(values) if _is_too_deep(value))
            raise BadRowValue(row, name, "the value contains itself, or is too deep") from None

        # The shortest start of the column that is refused ends with the value that does not fit.
        def is_refused(n: int) -> bool:
            try:
                arrow.array(native[:n], type_)
            except refusals:
                return True
            return False

        row = bisect.bisect_left(range(1, len(native)), True, key=is_refused)
        wanted = "fit one Arrow type with those before it" if type_ is None else f"fit {type_}"
        reason = f"{values[row]!r:.80} does not {wanted}: {error}; use jsonl"
        raise BadRowValue(row, name, reason) from error


def _is_too_deep(value: Any) -> bool:
    try:
        _native(value)
    except RecursionError:
        return True
    return False


class _Writer:
    def __init__(
        self, arrow: ModuleType, sample: Sequence[Any], open_writer: Callable[[Any], Any]
    ) -> None:
        if hasattr(sample, "schema"):
            self._schema = sample.schema
        else:
            rows = _mappings(sample)
            names = dict.fromkeys(key for row in rows for key in row)
            # from_pylist takes its columns from the first row alone; the whole sample decides here.
            types = [
                (str(name), _column(arrow, name, [row.get(name) for row in rows]).type)
                for name in names
            ]
            self._names, self._schema = list(names), arrow.schema(types)
        self._arrow = arrow
        self._writer = open_writer(self._schema)

    def write(self, rows: Sequence[Any]) -> None:
        batch = rows if hasattr(rows, "schema") else self._batch(_mappings(rows))
        try:
            self._writer.write_batch(batch)
        except _refusals(self._arrow) as error:
            raise BadRowValue(0, None, f"a batch of another schema: {error}") from error

    def _batch(self, rows: list[Mapping[Any, Any]]) -> Any:
        known = set(self._names)
        for i, row in enumerate(rows):
            if not row.keys() <= known:
                extra = min(row.keys() - known, key=str)
                raise BadRowValue(i, extra, "none of the first rows has this column")
        columns = [
            _column(self._arrow, name, [row.get(name) for row in rows], field.type)
            for name, field in zip(self._names, self._schema, strict=True)
        ]
        return self._arrow.RecordBatch.from_arrays(columns, schema=self._schema)

    def close(self) -> None:
        self._writer.close()


class Arrow:
    """Writes the Arrow IPC file format; the schema is what pyarrow infers from the sample."""

    name: ClassVar[str] = "arrow"
    suffix: ClassVar[str] = ".arrow"
    is_columnar: ClassVar[bool] = True
    compressions: ClassVar[tuple[str, ...]] = ("lz4", "zstd", "none")

    def __init__(self, compression: str = "lz4") -> None:
        self._compression = None if compression == "none" else compression

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        arrow = _pyarrow(self.name)
        options = arrow.ipc.IpcWriteOptions(compression=self._compression)
        return _Writer(
            arrow, sample, lambda schema: arrow.ipc.new_file(file, schema, options=options)
        )


class _RowGroups:
    """Gathers record batches into row groups: each column of one has a dictionary of its own, and
    groups of 65,536 rows took 1.7 times the time and room of those of a million."""

    def __init__(self, arrow: ModuleType, writer: Any, schema: Any) -> None:
        self._arrow, self._writer, self._schema = arrow, writer, schema
        self._batches: list[Any] = []
        self._n_rows = self._n_bytes = 0

    def write_batch(self, batch: Any) -> None:
        if batch.schema != self._schema:
            raise self._arrow.ArrowInvalid(f"{batch.schema}, not {self._schema}")
        self._batches.append(batch)
        self._n_rows += batch.num_rows
        self._n_bytes += batch.nbytes
        if self._n_rows >= GROUP_ROWS or self._n_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        batches, self._batches = self._batches, []
        self._n_rows = self._n_bytes = 0
        self._writer.write_table(self._arrow.Table.from_batches(batches), GROUP_ROWS)

    def close(self) -> None:
        try:
            if self._batches:
                self._flush()
        finally:
            self._writer.close()


class Parquet:
    """Writes Parquet; the schema is what pyarrow infers from the sample.

    A row group has a million rows or 64 MiB, which are held until they are written.
    """

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    is_columnar: ClassVar[bool] = True
    compressions: ClassVar[tuple[str, ...]] = ("lz4", "zstd", "gzip", "none")

    def __init__(self, compression: str = "lz4") -> None:
        self._compression = compression

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        arrow = _pyarrow(self.name)
        from pyarrow import parquet

        def open_writer(schema: Any) -> _RowGroups:
            writer = parquet.ParquetWriter(file, schema, compression=self._compression)
            return _RowGroups(arrow, writer, schema)

        return _Writer(arrow, sample, open_writer)
