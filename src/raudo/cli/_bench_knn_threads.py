"""Exact search on all cores: how few queries occupy them, and at what bandwidth one query runs."""

from __future__ import annotations

from raudo.cli._bench_knn import rows_of
from raudo.cli._bench_rows import Row
from raudo.similarity._threads import available_cores

__all__ = ["rows"]


def rows(quick: bool) -> list[Row]:
    """Measure as many threads as there are cores."""
    return rows_of(quick, available_cores(), (1, 2) if quick else (1, 2, 4, 8, 19, 20, 100))
