"""Apache Arrow's file format and Parquet, through pyarrow (the `arrow` extra).

Both compress inside the file, column by column; `compression="auto"` is lz4. The schema comes from
the first 4,096 rows (times the parts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, BinaryIO, ClassVar

from raudo.errors import MissingExtra
from raudo.export._values import as_mapping

__all__ = ["Arrow", "Parquet"]


def _pyarrow(format_name: str) -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra(f"the format {format_name}", "arrow") from error
    module: ModuleType = pyarrow
    return module


def _native(value: Any) -> Any:
    """Give NumPy scalars inside nested values their Python form; pyarrow takes the rest."""
    if hasattr(value, "tolist") and getattr(getattr(value, "dtype", None), "kind", "M") not in "mM":
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _native(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_native(each) for each in value]
    return value


def _records(rows: Sequence[Any]) -> list[dict[str, Any]]:
    try:
        return [{str(key): _native(each) for key, each in as_mapping(row).items()} for row in rows]
    except RecursionError:
        raise ValueError("a value contains itself, or is nested too deep for Arrow") from None


def _refusals(arrow: ModuleType) -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for values that it has no place for."""
    names = ("ArrowInvalid", "ArrowTypeError", "ArrowNotImplementedError")
    return (*(getattr(arrow, name) for name in names), OverflowError)


def _type_of(arrow: ModuleType, name: str, records: Sequence[Mapping[str, Any]]) -> Any:
    try:
        return arrow.array([row.get(name) for row in records]).type
    except _refusals(arrow) as error:
        raise ValueError(f"column {name!r} has no one Arrow type: {error}; use jsonl") from error


class _Writer:
    def __init__(
        self, arrow: ModuleType, sample: Sequence[Any], open_writer: Callable[[Any], Any]
    ) -> None:
        records = _records(sample)
        names = dict.fromkeys(key for row in records for key in row)
        # from_pylist takes its columns from the first row alone; the whole sample decides here.
        types = {name: _type_of(arrow, name, records) for name in names}
        self._arrow, self._schema = arrow, arrow.schema(list(types.items()))
        self._writer = open_writer(self._schema)

    def write(self, rows: Sequence[Any]) -> None:
        records = _records(rows)
        known = set(self._schema.names)
        for row in records:
            if not row.keys() <= known:
                extra = sorted(row.keys() - known)
                raise ValueError(f"a row has the column {extra[0]!r}, which none of the first has")
        try:
            batch = self._arrow.RecordBatch.from_pylist(records, schema=self._schema)
        except _refusals(self._arrow) as error:
            raise ValueError(
                f"a row does not fit the types of the first rows ({self._schema}): {error}"
            ) from error
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class Arrow:
    """Writes the Arrow IPC file format; the schema is what pyarrow infers from the sample."""

    name: ClassVar[str] = "arrow"
    suffix: ClassVar[str] = ".arrow"
    compressions: ClassVar[tuple[str, ...]] = ("lz4", "zstd", "none")

    def __init__(self, compression: str = "lz4") -> None:
        self._compression = None if compression == "none" else compression

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        arrow = _pyarrow(self.name)
        options = arrow.ipc.IpcWriteOptions(compression=self._compression)
        return _Writer(
            arrow, sample, lambda schema: arrow.ipc.new_file(file, schema, options=options)
        )


class Parquet:
    """Writes Parquet, a row group a batch; the schema is what pyarrow infers from the sample."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    compressions: ClassVar[tuple[str, ...]] = ("lz4", "zstd", "gzip", "none")

    def __init__(self, compression: str = "lz4") -> None:
        self._compression = compression

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        arrow = _pyarrow(self.name)
        from pyarrow import parquet

        return _Writer(
            arrow,
            sample,
            lambda schema: parquet.ParquetWriter(file, schema, compression=self._compression),
        )
