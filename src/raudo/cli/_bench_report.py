"""The comparison of caches as text: tables, ratios, and where raudo loses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raudo.cli._bench_peers import PEERS
from raudo.cli._bench_timing import heading

__all__ = ["Grid", "grids", "losses", "render"]

_OURS = {peer.name for peer in PEERS if peer.ours}
_JUDGED = ("raudo", "raudo lru")
"""Whose losses are named: the default strategy's and exact LRU's."""
_UNBOUNDED = {"dict"}
_TIE = 1.05  # two medians nearer than this are the same on a machine that others use too


@dataclass(frozen=True, slots=True)
class Grid:
    """Figures by subject and column, and what each is compared with."""

    title: str
    unit: str
    columns: Sequence[str]
    values: Mapping[str, Mapping[str, float]]
    base: Mapping[str, str] = field(default_factory=dict)
    """The subject that a column is compared with; none where a column is not here."""
    base_column: str | None = None
    """The column of its own that a subject is compared with, instead."""
    is_less_better: bool = True
    digits: int = 1
    notes: Sequence[str] = ()
    only_shown: Sequence[str] = ()
    """Columns that follow from others, so that nobody wins or loses by them."""

    def cell(self, name: str, column: str) -> str:
        value = self.values[name].get(column)
        if value is None:
            return "-"
        other = (
            self.values[name].get(self.base_column)
            if self.base_column is not None
            else self.values.get(self.base.get(column, ""), {}).get(column)
        )
        ratio = f" {value / other:5.2f}x" if other else ""
        return f"{value:7.{self.digits}f}{ratio}"

    def losses(self) -> Iterator[str]:
        """Name every column in which a bounded cache of another library beats one of ours."""
        for column in self.columns:
            if column in self.only_shown:
                continue
            rivals = {
                name: row[column]
                for name, row in self.values.items()
                if column in row and name not in _OURS | _UNBOUNDED
            }
            if not rivals:
                continue
            best = (min if self.is_less_better else max)(rivals, key=lambda name: rivals[name])
            for name in _JUDGED:
                ours, theirs = self.values.get(name, {}).get(column), rivals[best]
                if ours is None:
                    continue
                if ours > theirs * _TIE if self.is_less_better else ours * _TIE < theirs:
                    ratio = f" ({ours / theirs:.2f}x)" if theirs else ""
                    yield (
                        f"{self.title}, {column}: {name} {ours:.{self.digits}f} {self.unit}, "
                        f"{best} {theirs:.{self.digits}f} {self.unit}{ratio}"
                    )


def _of_table(table: Mapping[str, Any]) -> Grid:
    notes = [
        f"{table['rounds']} rounds of {table['calls_a_round']:,} calls; "
        f"empty loop {table['loop_ns']} ns"
    ]
    notes += table.get("notes", [])
    notes += [f"{name}: not timed, {complaint}" for name, complaint in table["wrong"].items()]
    return Grid(
        title=table["title"],
        unit="ns",
        columns=table["columns"],
        values={
            name: {column: each["median"] for column, each in row.items()}
            for name, row in table["ns"].items()
        },
        base=table["base"],
        notes=notes,
        only_shown=[column for column in table["columns"] if column not in table["base"]],
    )


def grids(result: Mapping[str, Any]) -> Iterator[Grid]:
    """Yield every table of a result, whatever it measures."""
    for table in result["tables"]:
        yield _of_table(table)
    if "bytes" in result:
        weights = result["bytes"]
        yield Grid(
            title="bytes an entry",
            unit="B",
            columns=weights["columns"],
            values=weights["by_size"],
            base={each: "dict" for each in weights["columns"] if not each.endswith("evicting")},
            notes=[
                "growth of a process by a cache of so many int keys (1,000: by a hundred caches), "
                "filled and after as many evictions; keys and values not counted"
            ],
        )
    if "pauses" in result:
        yield Grid(
            title="longest single call",
            unit="ms",
            columns=result["pauses"]["columns"],
            values=result["pauses"]["ms"],
            digits=3,
            notes=["milliseconds, the least of the runs"],
        )
    if "threads" in result:
        threads = result["threads"]
        yield Grid(
            title="threads on one cache",
            unit="M calls/s",
            columns=threads["columns"],
            values={
                name: {column: rate / 1e6 for column, rate in row.items()}
                for name, row in threads["calls_per_s"].items()
            },
            base_column="1 thread",
            is_less_better=False,
            digits=2,
            notes=[
                f"million calls a second of all threads together, nine reads to a write, "
                f"{threads['n_keys']:,} int keys; ratios to one thread; cachetools under a lock"
            ],
        )


def losses(result: Mapping[str, Any]) -> list[str]:
    """Name all columns in which another bounded cache beats raudo's default strategy or its LRU."""
    return [line for grid in grids(result) for line in grid.losses()]


def _rows(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, ["-" * width for width in widths], *rows]:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([first, *rest])


def render(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report, line by line."""
    yield from heading(result)
    yield ""
    yield "Where nothing else is said: nanoseconds a call, the median round, the empty loop"
    yield "subtracted, the collector off, keys equal to those stored but other objects, in random"
    yield "order. Ratios are to dict; those of insert+evict (ascending, random ints) and memo hit"
    yield "to functools.lru_cache, whose insert includes calling bool()."
    for grid in grids(result):
        yield ""
        yield grid.title
        rows = [
            [name, *(grid.cell(name, column) for column in grid.columns)] for name in grid.values
        ]
        yield from _rows(["", *grid.columns], rows)
        yield from (f"({note})" for note in grid.notes)
    yield ""
    lost = losses(result)
    yield "Where another cache beats raudo's default strategy, or its LRU, by more than 5 %:"
    yield from (f"  {line}" for line in lost or ["nowhere"])
