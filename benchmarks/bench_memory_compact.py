"""What `compact` saves: a million small records, parsed from text as a service would.

    python benchmarks/bench_memory_compact.py [--records N]

Deep size before and after, the resident memory of the process once the old list is dropped, and
seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from typing import Any

from raudo._process import resident_bytes
from raudo.memory import compact, deep_size
from raudo.memory.malloc import give_back_free_pages


def parsed(n: int) -> list[dict[str, Any]]:
    lines = (
        f'{{"id": {i}, "name": "user {i}", "city": "city {i % 500}", "score": {i / 7}, '
        f'"is_active": {"true" if i % 3 else "false"}}}'
        for i in range(n)
    )
    return [json.loads(line) for line in lines]


def measure(n: int, in_place: bool) -> dict[str, float]:
    """Return bytes and seconds for one way to compact."""
    base = resident_bytes()
    rows = parsed(n)
    gc.collect()
    resident_before = resident_bytes() - base
    began = time.perf_counter()
    before = deep_size(rows)
    walk_s = time.perf_counter() - began
    began = time.perf_counter()
    small = compact(rows, in_place=in_place)
    seconds = time.perf_counter() - began
    after = deep_size(small)
    assert small == rows
    del rows
    gc.collect()
    give_back_free_pages()
    return {
        "before_bytes": before,
        "after_bytes": after,
        "saved_ratio": 1 - after / before,
        "resident_before": resident_before,
        "resident_after": resident_bytes() - base,
        "seconds": seconds,
        "walk_seconds": walk_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    n = parser.parse_args().records
    for in_place in (False, True):
        found = measure(n, in_place)
        print(f"{'in place' if in_place else 'anew'}, {n:,} records:")
        for name, value in found.items():
            print(f"  {name:16} {value:,.3f}" if value < 1000 else f"  {name:16} {value:,.0f}")


if __name__ == "__main__":
    main()
