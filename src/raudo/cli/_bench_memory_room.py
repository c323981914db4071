"""`raudo bench memory`: what each section measures, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli import _bench_rows
from raudo.cli._bench_rows import Row, Section
from raudo.cli._bench_timing import heading

__all__ = ["SECTIONS", "packages", "render", "run"]

SECTIONS = {
    "pools": Section("objects lent from a pool, made anew, taken from a list", 10, "_bench_pools"),
    "buffers": Section("arrays and bytearrays lent, beside fresh ones", 15, "_bench_buffers"),
    "shared": Section("similarity and compression by shared buffers", 20, "_bench_shared"),
    "gc": Section("the collector's stops, and bulk loading", 60, "_bench_collector"),
    "compact": Section("a million records, before and after", 45, "_bench_compact"),
    "watch": Section("CPU time of the watch and the monitor", 25, "_bench_watch"),
}


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    return ["raudo", "numpy"]


def run(*, quick: bool, sections: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    return _bench_rows.run_sections(SECTIONS, quick=quick, sections=sections, say=say)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    rows = [Row.of_json(each) for each in result["rows"]]
    return [*heading(result), *_bench_rows.render(rows)]
