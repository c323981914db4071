"""Rows of a mixed kind as text: JSON Lines and CSV, beside the standard library and others."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raudo.cli._bench_export import mixed_rows, timed
from raudo.cli._bench_rows import Row, is_installed
from raudo.export import export

__all__ = ["rows"]

Records = list[dict[str, Any]]


def _json(records: Records) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")

    return write


def _orjson(records: Records) -> Callable[[Path], object]:
    import orjson

    def write(path: Path) -> None:
        option = orjson.OPT_APPEND_NEWLINE
        with open(path, "wb", buffering=1 << 18) as file:
            for record in records:
                file.write(orjson.dumps(record, option=option))

    return write


def _pandas(records: Records, method: str, **options: Any) -> Callable[[Path], object]:
    import pandas

    return lambda path: getattr(pandas.DataFrame(records), method)(path, **options)


def _polars(records: Records, method: str) -> Callable[[Path], object]:
    import polars

    return lambda path: getattr(polars.DataFrame(records), method)(path)


def _dict_writer(records: Records) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)

    return write


def _writer(records: Records) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(records[0])
            writer.writerows(record.values() for record in records)

    return write


def _json_of(path: Path) -> Records:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _csv_of(path: Path) -> list[list[str | float]]:
    """Read cells; how booleans and numbers are spelled is each library's own."""
    with open(path, encoding="utf-8", newline="") as file:
        return [[*map(_cell_of, cells)] for cells in csv.reader(file)]


def _cell_of(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell.lower()


def _gzipped(records: Records) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with gzip.open(path, "wt", 6, encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")

    return write


def _gzip_of(path: Path) -> Records:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows(quick: bool) -> list[Row]:
    """Measure; milliseconds a file."""
    n, rounds = (2_000, 1) if quick else (200_000, 5)
    records = mixed_rows(n)
    jsonl: dict[str, Any] = {
        "raudo": lambda path: export(records, path, format="jsonl"),
        "json": _json(records),
    }
    table: dict[str, Any] = {
        "raudo": lambda path: export(records, path, format="csv"),
        "csv.DictWriter": _dict_writer(records),
        "csv.writer": _writer(records),
    }
    if is_installed("orjson"):
        jsonl["orjson"] = _orjson(records)
    if is_installed("pandas"):
        jsonl["pandas"] = _pandas(
            records, "to_json", orient="records", lines=True, double_precision=15
        )
        table["pandas"] = _pandas(records, "to_csv", index=False)
    if is_installed("polars"):
        jsonl["polars"] = _polars(records, "write_ndjson")
        table["polars"] = _polars(records, "write_csv")
    exact_jsonl = {name: write for name, write in jsonl.items() if name != "pandas"}
    title = f"{n:,} rows of text and numbers to a file"
    return [
        Row(
            title,
            "jsonl",
            "ms",
            timed(jsonl, "rows.jsonl", rounds, _json_of, exact_jsonl),
            times_better=10,
            rivals=("json",),
            note="pandas rounds floats to 15 digits",
        ),
        Row(
            title,
            "csv",
            "ms",
            timed(table, "rows.csv", rounds, _csv_of),
            times_better=10,
            rivals=("csv.DictWriter",),
            note="csv.writer is given the values alone, in order",
        ),
        Row(
            title,
            "jsonl.gz",
            "ms",
            timed(
                {
                    "raudo": lambda path: export(records[: n // 2], path, format="jsonl"),
                    "json": _gzipped(records[: n // 2]),
                },
                "rows.jsonl.gz",
                max(1, rounds - 2),
                _gzip_of,
            ),
            note=f"{n // 2:,} rows",
        ),
    ]
