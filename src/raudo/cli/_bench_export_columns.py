"""Columns to files: Arrow and Parquet beside pyarrow's own writers, npy beside NumPy's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from raudo.cli._bench_export import mixed_rows, timed
from raudo.cli._bench_rows import Row, is_installed
from raudo.export import export

__all__ = ["rows"]


def _arrow_rows(table: Any, rounds: int) -> list[Row]:
    import pyarrow
    from pyarrow import ipc, parquet

    options = ipc.IpcWriteOptions(compression="lz4")

    def stream(path: Path) -> None:
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            ipc.new_stream(file, table.schema, options=options) as writer,
        ):
            writer.write_table(table)

    def read(path: Path) -> Any:
        with pyarrow.OSFile(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            opened = ipc.open_file(file) if is_file else ipc.open_stream(file)
            return opened.read_all().combine_chunks()

    title = f"a table of {table.num_rows:,} rows, {table.nbytes / 1e6:.0f} MB, to a file"
    arrow = {
        "raudo": lambda path: export(table, path, format="arrow"),
        "pyarrow stream": stream,
    }
    packed = {
        "raudo": lambda path: export(table, path, format="parquet"),
        "pyarrow": lambda path: parquet.write_table(table, path, compression="lz4"),
    }
    if is_installed("polars"):
        import polars

        frame: Any = polars.from_arrow(table)
        arrow["polars"] = lambda path: frame.write_ipc(path, compression="lz4")
        packed["polars"] = lambda path: frame.write_parquet(path, compression="lz4")
    plain = {name: arrow[name] for name in ("raudo", "pyarrow stream")}
    return [
        Row(
            title,
            "arrow, lz4",
            "ms",
            timed(arrow, "table.arrow", rounds, read, plain),
            times_better=0.95,
            rivals=("pyarrow stream",),
        ),
        Row(
            title,
            "parquet, lz4",
            "ms",
            timed(
                packed,
                "table.parquet",
                rounds,
                lambda path: parquet.read_table(path).combine_chunks(),
                {name: packed[name] for name in ("raudo", "pyarrow")},
            ),
        ),
    ]


def rows(quick: bool) -> list[Row]:
    """Measure; milliseconds a file."""
    n, rounds = (2_000, 1) if quick else (1_000_000, 7)
    made: list[Row] = []
    if is_installed("pyarrow"):
        import pyarrow

        some = pyarrow.Table.from_pylist(mixed_rows(min(n, 100_000)))
        made += _arrow_rows(pyarrow.concat_tables([some] * (n // some.num_rows)), rounds)
    matrix = np.random.default_rng(1).random((n // 8, 256), np.float32)

    def save_synced(path: Path) -> None:
        with open(path, "wb") as file:
            np.save(file, matrix)
            file.flush()
            os.fsync(file.fileno())

    writers: dict[str, Any] = {
        "raudo": lambda path: export(matrix, path, format="npy"),
        "np.save": lambda path: np.save(path, matrix),
        "np.save, fsync": save_synced,
    }
    title = f"a matrix of {len(matrix):,} x 256 float32 to a file"
    figures = timed(writers, "matrix.npy", rounds, lambda path: np.load(path).tobytes())
    note = "ours is on the disk when it has its name; np.save is not, but for the last"
    made.append(Row(title, "npy", "ms", figures, note=note))
    return made
