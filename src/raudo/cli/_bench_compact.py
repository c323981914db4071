"""What `compact` saves: a million small records, parsed from text as a service would.

Each way in a process of its own: deep size, the memory that the process still has once the old list
was dropped, and seconds.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from typing import Any

from raudo._process import resident_bytes
from raudo.cli._bench_rows import OURS, Row
from raudo.memory import compact, deep_size
from raudo.memory.malloc import give_back_free_pages

__all__ = ["measure", "rows"]

_IN_PLACE = f"{OURS} in place"
_PARSED = "as parsed"


def _parsed(n: int) -> list[dict[str, Any]]:
    lines = (
        f'{{"id": {i}, "name": "user {i}", "city": "city {i % 500}", "score": {i / 7}, '
        f'"is_active": {"true" if i % 3 else "false"}}}'
        for i in range(n)
    )
    return [json.loads(line) for line in lines]


def measure(way: str, n: int) -> dict[str, float]:
    """Return megabytes and seconds for one way to keep the records, in this process."""
    base = resident_bytes()
    rows = _parsed(n)
    seconds = 0.0
    if way != _PARSED:
        began = time.perf_counter()
        small = compact(rows, in_place=way == _IN_PLACE)
        seconds = time.perf_counter() - began
        if small != rows:
            raise AssertionError("what was compacted differs")
        rows = small
        del small
    gc.collect()
    give_back_free_pages()
    resident = resident_bytes() - base
    return {"deep": deep_size(rows) / 1e6, "resident": resident / 1e6, "seconds": seconds}


def _in_a_process(way: str, n: int) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, way, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rows(quick: bool) -> list[Row]:
    """Measure records kept as they are, compacted anew and in place."""
    n = 2_000 if quick else 1_000_000
    found = {way: _in_a_process(way, n) for way in (OURS, _IN_PLACE, _PARSED)}
    table = f"{n:,} records of five fields"
    deep = {way: each["deep"] for way, each in found.items()}
    resident = {way: each["resident"] for way, each in found.items()}
    seconds = {way: each["seconds"] for way, each in found.items() if way != _PARSED}
    return [
        Row(table, "deep size", "MB", deep, times_better=2),
        Row(table, "resident", "MB", resident, times_better=2),
        Row(f"compacting {table}", "time", "s", seconds),
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
