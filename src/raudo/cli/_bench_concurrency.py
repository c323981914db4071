"""`raudo bench concurrency`: what each section measures, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli import _bench_rows
from raudo.cli._bench_rows import Row, Section
from raudo.cli._bench_timing import heading

__all__ = ["SECTIONS", "packages", "render", "run"]

SECTIONS = {
    "coroutines": Section("many coroutines at once", 25, "_bench_coroutines"),
    "threads": Section("functions on threads", 15, "_bench_pool_threads"),
    "http": Section("a service on the loopback, with and without a knee", 30, "_bench_http"),
    "processes": Section("maps over processes", 120, "_bench_parallel"),
    "retry": Section("retries: what the path of success costs", 5, "_bench_retrying"),
    "batching": Section("single items gathered into batches", 15, "_bench_batching"),
    "routing": Section("where functions run if nothing is said", 60, "_bench_routing"),
}


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    peers = ("aiometer", "anyio", "batched", "joblib", "mpire", "pebble", "stamina", "tenacity")
    return ["raudo", *peers, "numpy"]


def run(*, quick: bool, sections: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    return _bench_rows.run_sections(SECTIONS, quick=quick, sections=sections, say=say)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    rows = [Row.of_json(each) for each in result["rows"]]
    return [*heading(result), *_bench_rows.render(rows)]
