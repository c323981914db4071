"""What a call costs that succeeds at once, under the retries of raudo and its peers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race
from raudo.concurrency import retry

__all__ = ["rows"]


def _plain(x: int) -> int:
    return x


async def _coroutine(x: int) -> int:
    return x


def _loop(x: int) -> int:
    """Try again as one would by hand."""
    for attempt in range(4):
        try:
            return _plain(x)
        except Exception:
            if attempt == 3:
                raise
            time.sleep(0.1)
    raise AssertionError


async def _async_loop(x: int) -> int:
    for attempt in range(4):
        try:
            return await _coroutine(x)
        except Exception:
            if attempt == 3:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError


def _peers(fn: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if is_installed("tenacity"):
        import tenacity

        found["tenacity"] = tenacity.retry(
            stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_random_exponential(0.1)
        )(fn)
    if is_installed("stamina"):
        import stamina

        found["stamina"] = stamina.retry(on=Exception, attempts=4, wait_initial=0.1)(fn)
    return found


def _calls(fn: Callable[[int], Any], n: int) -> Callable[[], float]:
    def once() -> float:
        numbers = range(n)
        begun = time.perf_counter_ns()
        for x in numbers:
            fn(x)
        return (time.perf_counter_ns() - begun) / n

    return once


def _awaits(
    fn: Callable[[int], Coroutine[Any, Any, Any]], n: int, runner: asyncio.Runner
) -> Callable[[], float]:
    async def drive() -> float:
        begun = time.perf_counter_ns()
        for x in range(n):
            await fn(x)
        return (time.perf_counter_ns() - begun) / n

    return lambda: runner.run(drive())


def rows(quick: bool) -> list[Row]:
    """Measure retried calls, sync and async; nanoseconds a call, the loop included."""
    n, n_peer, rounds = (200, 20, 1) if quick else (50_000, 1_000, 9)
    plain: dict[str, Any] = {"raudo": retry(_plain), "by hand": _loop}
    found = {name: _calls(fn, n) for name, fn in plain.items()}
    found |= {name: _calls(fn, n_peer) for name, fn in _peers(_plain).items()}
    table, peers = "retry, a call that succeeds", ("tenacity", "stamina")
    made = [Row(table, "function", "ns", race(found, rounds), at_most=300, rivals=peers)]
    with asyncio.Runner() as runner:
        waits: dict[str, Any] = {"raudo": retry(_coroutine), "by hand": _async_loop}
        timed = {name: _awaits(fn, n, runner) for name, fn in waits.items()}
        timed |= {name: _awaits(fn, n_peer, runner) for name, fn in _peers(_coroutine).items()}
        timed["raudo await retry(fn, x)"] = _awaits(lambda x: retry(_coroutine, x), n, runner)
        figures = race(timed, rounds)
        made.append(Row(table, "coroutine function", "ns", figures, at_most=300, rivals=peers))
    return made
