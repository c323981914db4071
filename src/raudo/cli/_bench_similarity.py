"""`raudo bench similarity`: what each section measures, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli import _bench_rows
from raudo.cli._bench_rows import Row, Section
from raudo.cli._bench_timing import heading

__all__ = ["SECTIONS", "packages", "render", "run"]

SECTIONS = {
    "matrix": Section("full matrices of distances", 100, "_bench_matrix"),
    "bits": Section("Hamming and Jaccard distances of packed bits", 30, "_bench_bits"),
    "knn": Section("exact search among 100,000 rows, one thread", 90, "_bench_knn"),
    "knn_threads": Section("the same, all cores", 60, "_bench_knn_threads"),
    "indexes": Section("approximate indexes at equal recall", 90, "_bench_indexes"),
}


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    peers = ("faiss-cpu", "numkong", "hnswlib", "usearch", "scipy", "scikit-learn")
    return ["raudo", "numpy", *peers]


def run(*, quick: bool, sections: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    return _bench_rows.run_sections(SECTIONS, quick=quick, sections=sections, say=say)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    rows = [Row.of_json(each) for each in result["rows"]]
    return [*heading(result), *_bench_rows.render(rows)]
