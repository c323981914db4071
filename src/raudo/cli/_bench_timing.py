"""Timing loops of calls fairly: interleaved rounds, no collector, the loop itself taken off.

Each timed pass is one `for` loop in a function of its own, over a list that exists beforehand, so
that all subjects pay the same for the loop; the cost of the same loop around `pass` is subtracted.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

__all__ = [
    "LOOPS",
    "describe_machine",
    "empty_loop",
    "heading",
    "interleave",
    "quiet",
    "summaries",
    "timed",
]

Loop = Callable[[Any, Sequence[Any]], None]


def _call(fn: Any, keys: Sequence[Any]) -> None:
    for key in keys:
        fn(key)


def _getitem(cache: Any, keys: Sequence[Any]) -> None:
    for key in keys:
        cache[key]


def _setitem(cache: Any, keys: Sequence[Any]) -> None:
    for key in keys:
        cache[key] = key


def _set(fn: Any, keys: Sequence[Any]) -> None:
    for key in keys:
        fn(key, key)


def _nothing(_: Any, keys: Sequence[Any]) -> None:
    for _key in keys:
        pass


LOOPS: dict[str, Loop] = {"call": _call, "getitem": _getitem, "setitem": _setitem, "set": _set}


def timed(loop: Loop, subject: Any, keys: Sequence[Any]) -> float:
    """Return nanoseconds a key for one pass, the loop included."""
    start = time.perf_counter_ns()
    loop(subject, keys)
    return (time.perf_counter_ns() - start) / len(keys)


def empty_loop(keys: Sequence[Any]) -> float:
    """Return nanoseconds a key of the loop itself: the median of nine passes."""
    return statistics.median(timed(_nothing, None, keys) for _ in range(9))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Collect once, then keep the cyclic collector away from what is timed."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


Pass = Callable[[], float]
"""Does one timed pass and returns nanoseconds a call, the loop included."""


def interleave(
    passes: Mapping[str, Mapping[str, Pass]], rounds: int, begin: Callable[[], None]
) -> dict[str, dict[str, list[float]]]:
    """Run `passes[column][name]` once in each round; return what they gave by name and column.

    Names come in another order in each round, after `begin()`. The first round warms up and does
    not count.
    """
    order = random.Random(0)
    found: dict[str, dict[str, list[float]]] = {}
    with quiet():
        for i in range(rounds + 1):
            begin()
            for column, subjects in passes.items():
                names = list(subjects)
                order.shuffle(names)
                for name in names:
                    ns = subjects[name]()
                    if i > 0:
                        found.setdefault(name, {}).setdefault(column, []).append(ns)
    return found


def summary(rounds: Sequence[float], loop_ns: float) -> dict[str, float]:
    """Return median, quartiles and the best round, the loop taken off."""
    quartiles = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else [rounds[0]] * 3
    found = {"median": statistics.median(rounds), "low": quartiles[0], "high": quartiles[2]}
    found["best"] = min(rounds)
    return {name: round(max(value - loop_ns, 0.0), 2) for name, value in found.items()}


def summaries(
    found: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str], loop_ns: float
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the `summary` of every figure, the subjects in the order of `names`."""
    return {
        name: {column: summary(rounds, loop_ns) for column, rounds in found[name].items()}
        for name in names
        if name in found
    }


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        model = next(
            (line.split(":", 1)[1].strip() for line in file if "model name" in line), model
        )
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
    }


def heading(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that say what was run, on what, against which versions."""
    machine = result["machine"]
    yield f"$ {result['command']}"
    yield f"{machine['python']} ({machine['compiler']}), {machine['system']}"
    yield f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load']} at the start"
    versions = {name: version for name, version in result["versions"].items() if version}
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
