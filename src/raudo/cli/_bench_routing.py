"""Where `kind="auto"` puts twelve kinds of work, beside each place that could be said by name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from raudo.cli._bench_routing_tasks import Workload, workloads
from raudo.cli._bench_rows import Row, race
from raudo.concurrency import AsyncProcessor, ParallelExecutor

__all__ = ["rows"]

KINDS = ("inline", "thread", "process")
AT_MOST_TIMES_THE_BEST = 1.3
N_WARM = 2

# A service that takes 3 ms to answer, in a process of its own: it shares no interpreter lock.
_SERVER = """
import asyncio

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    await asyncio.sleep(0.003)
    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\nConnection: close\\r\\n\\r\\n"
    writer.write(head + bytes(1000))
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=200)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def _server() -> Iterator[int]:
    """Run the service; give its port."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _timed(run: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter()
        run()
        return (time.perf_counter() - begun) * 1e3

    return once


def _row(
    table: str,
    workload: Workload,
    run: Callable[[Any], object],
    get_stats: Callable[[], dict[str, Any]],
    rounds: int,
) -> Row:
    """Measure one workload; `run(kind)` does its batch."""
    for _ in range(N_WARM):
        run("auto")
    contenders = {"raudo": _timed(partial(run, "auto"))}
    contenders |= {f"kind={kind}": _timed(partial(run, kind)) for kind in KINDS}
    found = race(contenders, rounds)
    routes = get_stats()["routes"]
    route = next(each for name, each in routes.items() if name.endswith(workload.fn.__name__))
    return Row(
        table,
        workload.name,
        "ms",
        found,
        times_better=1 / AT_MOST_TIMES_THE_BEST,
        note=f"{route['kind']}: {route['why']}",
    )


def rows(quick: bool) -> list[Row]:
    """Measure batches of twelve kinds after two that warm up; milliseconds a batch."""
    scale, rounds = (0.05, 1) if quick else (1.0, 5)
    made = []
    with _server() as port, asyncio.Runner() as runner:
        chosen = workloads(port, scale)
        processor = AsyncProcessor(16)
        with ParallelExecutor(16) as executor:
            for workload in chosen:
                tasks: list[Any] = [(workload.fn, (each,), {}) for each in workload.arguments]

                def in_batch(kind: Any, tasks: list[Any] = tasks) -> object:
                    return runner.run(processor.process_batch(tasks, kind=kind))

                def mapped(kind: Any, workload: Workload = workload) -> object:
                    return list(executor.map(workload.fn, workload.arguments, kind=kind))

                ways: tuple[tuple[str, Callable[[Any], object], Any], ...] = (
                    ("routing, AsyncProcessor.process_batch", in_batch, processor),
                    ("routing, ParallelExecutor.map", mapped, executor),
                )
                for table, run, owner in ways:
                    made.append(_row(table, workload, run, owner.get_stats, rounds))
        runner.run(processor.stop())
    return sorted(made, key=lambda row: row.table)
