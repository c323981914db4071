"""`raudo bench export`: what each section measures, how long that takes, and what is written."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raudo.cli import _bench_rows
from raudo.cli._bench_rows import OURS, Row, Section, race
from raudo.cli._bench_timing import heading

__all__ = ["SECTIONS", "mixed_rows", "packages", "render", "run", "timed"]

SECTIONS = {
    "text": Section("jsonl, csv and jsonl.gz", 70, "_bench_export_text"),
    "columns": Section("arrow, parquet and npy", 25, "_bench_export_columns"),
}

_WORDS = (
    "cache compiled documents near duplicates vectors memory threads export parallel monitoring "
    "latency throughput naïve Zürich 東京 quoted, “curly” semi;colon tab"
).split()

Writers = Mapping[str, Callable[[Path], object]]


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    return ["raudo", "orjson", "pandas", "polars", "pyarrow", "numpy"]


def run(*, quick: bool, sections: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    return _bench_rows.run_sections(SECTIONS, quick=quick, sections=sections, say=say)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    rows = [Row.of_json(each) for each in result["rows"]]
    return [*heading(result), *_bench_rows.render(rows)]


def mixed_rows(n: int) -> list[dict[str, Any]]:
    """Return rows of a whole number, short texts, floats, a boolean and now and then None."""
    chance = random.Random(1)
    return [
        {
            "id": i,
            "name": " ".join(chance.choices(_WORDS, k=4)),
            "score": chance.random(),
            "count": chance.randrange(1_000_000),
            "ratio": round(chance.uniform(0, 100), 2),
            "active": i % 3 == 0,
            "label": None if i % 7 == 0 else chance.choice(_WORDS),
        }
        for i in range(n)
    ]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raudo-bench-") as name:
        yield Path(name)


def timed(
    writers: Writers,
    name: str,
    rounds: int,
    read: Callable[[Path], object],
    exact: Collection[str] | None = None,
) -> dict[str, float]:
    """Return the milliseconds that each writer takes for a file.

    First each writes once, and what `read` finds must be the same of all (of those in `exact`). Our
    files are synced to the disk and renamed into place, those of the peers only written.
    """
    with _folder() as folder:
        found = {}
        for number, (subject, write) in enumerate(writers.items()):
            write(folder / f"{number}-{name}")
            if exact is None or subject in exact:
                found[subject] = read(folder / f"{number}-{name}")
        ours = found.pop(OURS)
        for subject, theirs in found.items():
            if theirs != ours:
                raise AssertionError(f"{subject} wrote another {name} than raudo")

        def pass_of(number: int, write: Callable[[Path], object]) -> Callable[[], float]:
            path = folder / f"{number}-{name}"

            def once() -> float:
                path.unlink(missing_ok=True)
                begun = time.perf_counter()
                write(path)
                return (time.perf_counter() - begun) * 1e3

            return once

        passes = {
            subject: pass_of(number, write)
            for number, (subject, write) in enumerate(writers.items())
        }
        return race(passes, rounds)
