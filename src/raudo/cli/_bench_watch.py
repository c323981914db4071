"""CPU time of watching the memory: an idle process with the watch, and with the monitor too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack

from raudo.cli._bench_rows import OURS, Row
from raudo.memory import MemoryOptimizer
from raudo.monitoring import Monitor

__all__ = ["cpu_percent", "rows"]


def cpu_percent(way: str, seconds: float) -> float:
    """Return percent of one CPU that this process takes while it does nothing but watch."""
    heap = [[i] for i in range(1_000_000)]
    with ExitStack() as running:
        optimizer = MemoryOptimizer(auto_optimize=False)
        if way != "nothing":
            optimizer.create_pool("lists", list)
            optimizer.on_growth(lambda grew: None)
            running.enter_context(optimizer)
        if way == "monitor":
            monitor = Monitor(optimizer)
            monitor.start()
            running.callback(monitor.stop)
        time.sleep(1.5)  # the first looks import and count
        began = time.process_time()
        time.sleep(seconds)
        took = time.process_time() - began
    del heap
    return 100 * took / seconds


def _measure(way: str, seconds: float) -> float:
    command = [sys.executable, "-m", __name__, way, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return float(json.loads(done.stdout))


def rows(quick: bool) -> list[Row]:
    """Measure processes that hold a million containers, and look once a second."""
    seconds = 1.0 if quick else 10.0
    cases = {"MemoryOptimizer": "watch", "MemoryOptimizer and Monitor": "monitor"}
    table, unit = "watching the memory, once a second", "% CPU"
    return [
        Row(table, case, unit, {OURS: _measure(way, seconds)}, at_most=0.1)
        for case, way in cases.items()
    ]


if __name__ == "__main__":
    print(json.dumps(cpu_percent(sys.argv[1], float(sys.argv[2]))))
