"""Learns where each function should run: in the caller, on a thread, or in another process.

What is measured per call is its wall time and the CPU time of the thread that ran it, alone or
beside others. From the last few calls:

- tiny: the median call is under 20 us. Handing it over costs more than running it: inline.
- I/O: it is off the CPU for more than half of its shortest wall time. The shortest, because waiting
  for the interpreter lock counts as wall time too, and under load every function would look like
  I/O. On threads.
- CPU: the rest. If two at once on threads take as long as one (they release the lock, as NumPy and
  zlib do), on threads; else in another process, if it may move.

A function may move only if it is importable by its name and its arguments and result pickle; never
a closure, a lambda or a bound method. A function that returns None is taken to run for its side
effects, which would be lost in another process, and stays too.
"""

from __future__ import annotations

import functools
import statistics
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.pickling import name_of
from raudo.concurrency._workers.travel import arguments_pickle, why_it_stays

__all__ = ["Kind", "Router"]

Kind = Literal["inline", "thread", "process"]

TINY_SECONDS = 20e-6
_WORTH_A_PROCESS_SECONDS = 0.5e-3  # a round trip to a worker process takes 0.1 to 0.4 ms
_CPU_SHARE = 0.5
_SCALES = 1.35  # wall over CPU time, two at once, up to which they do not wait for each other
_N_CALLS = 32
_MAX_FUNCTIONS = 1024
_NOT_GIVEN = object()


@dataclass(slots=True)
class _Record:
    """What is known of one function. Times are seconds."""

    name: str
    stays: str | None
    alone_s: deque[float] = field(default_factory=lambda: deque(maxlen=_N_CALLS))
    beside_s: deque[float] = field(default_factory=lambda: deque(maxlen=_N_CALLS))
    shortest_s: deque[float] = field(default_factory=lambda: deque(maxlen=_N_CALLS))
    cpu_s: deque[float] = field(default_factory=lambda: deque(maxlen=_N_CALLS))
    n_calls: int = 0
    n_by_kind: dict[str, int] = field(default_factory=dict)
    only_none: bool | None = None  # None: no result was shown


class Router:
    """Chooses a kind of worker per function and revises the choice as calls are observed.

    Thread-safe. Keeps numbers for the 1,024 functions used last; holds no function and no argument.
    """

    def __init__(self, *, n_cpus: int | None = None) -> None:
        self._n_cpus = usable_cpus() if n_cpus is None else n_cpus
        self._records: OrderedDict[Any, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, fn: Callable[..., Any], args: tuple[Any, ...] = ()) -> Kind:
        """Return where `fn(*args)` should run. A function not seen before gets a thread."""
        with self._lock:
            kind, _ = self._decide(self._record(fn))
        if kind == "process" and not all(map(arguments_pickle, args)):
            return "thread"
        return kind

    def observe(
        self,
        fn: Callable[..., Any],
        kind: str,
        wall_s: float,
        cpu_s: float,
        *,
        result: object = _NOT_GIVEN,
        n_running: int = 1,
    ) -> None:
        """Note one call: where it ran, how long it took, and the CPU time of its thread.

        `n_running` counts the calls that ran at the same time in the same process, this one
        included; `result` lets the router see whether results could leave a process.
        """
        with self._lock:
            record = self._record(fn)
            record.n_calls += 1
            record.n_by_kind[kind] = record.n_by_kind.get(kind, 0) + 1
            record.cpu_s.append(cpu_s)
            n_beside = 1 if kind == "process" else min(n_running, self._n_cpus)
            if n_beside <= 1:
                record.alone_s.append(wall_s)
            elif n_running <= self._n_cpus:
                record.beside_s.append(wall_s)
            # Calls that wait for each other's interpreter lock take longer by their number.
            record.shortest_s.append(wall_s / max(1, n_beside))
            if result is _NOT_GIVEN:
                return
            record.only_none = result is None and record.only_none is not False
            is_candidate = record.stays is None
        if is_candidate and wall_s >= _WORTH_A_PROCESS_SECONDS and not arguments_pickle(result):
            self.keep_here(fn, "its results do not pickle")

    def keep_here(self, fn: Callable[..., Any], why: str) -> None:
        """Never choose a process for this function again."""
        with self._lock:
            self._record(fn).stays = why

    def is_busy(self, fn: Callable[..., Any]) -> bool:
        """Say whether the function was seen to keep a CPU busy rather than to wait."""
        with self._lock:
            record = self._records.get(_key(fn))
            return record is not None and record.n_calls > 0 and _cpu_share(record) >= _CPU_SHARE

    def is_known(self, fn: Callable[..., Any]) -> bool:
        """Say whether the function was observed before."""
        with self._lock:
            record = self._records.get(_key(fn))
            return record is not None and record.n_calls > 0

    def explain(self) -> dict[str, dict[str, Any]]:
        """Return per function: kind, why, and the numbers behind it (seconds)."""
        with self._lock:
            report: dict[str, dict[str, Any]] = {}
            for record in self._records.values():
                kind, why = self._decide(record)
                name = record.name
                while name in report:  # two lambdas of one module, say
                    name += "'"
                report[name] = {
                    "kind": kind,
                    "why": why,
                    "calls": record.n_calls,
                    "calls_by_kind": dict(record.n_by_kind),
                    "wall_s": _typical(record) if record.n_calls else None,
                    "cpu_s": statistics.median(record.cpu_s) if record.cpu_s else None,
                    "cpu_share": _cpu_share(record) if record.n_calls else None,
                    "may_move": record.stays is None,
                }
            return report

    def _record(self, fn: Callable[..., Any]) -> _Record:
        key = _key(fn)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(name_of(fn), why_it_stays(fn))
            if len(self._records) > _MAX_FUNCTIONS:
                self._records.popitem(last=False)
        else:
            self._records.move_to_end(key)
        return record

    def _decide(self, record: _Record) -> tuple[Kind, str]:
        if not record.n_calls:
            return "thread", "not seen before"
        wall_s = _typical(record)
        if wall_s < TINY_SECONDS:
            return "inline", f"a call takes {wall_s * 1e6:.1f} us, less than handing it over"
        share = _cpu_share(record)
        if share < _CPU_SHARE:
            return "thread", f"it is on the CPU for {share:.0%} of its time: I/O"
        cpu_bound = f"it is on the CPU for {share:.0%} of its time"
        if self._n_cpus < 2:
            return "thread", f"{cpu_bound}, but there is one CPU only"
        if record.stays is not None:
            return "thread", f"{cpu_bound}, but {record.stays}"
        if record.only_none:
            return "thread", f"{cpu_bound}, but it returns None: its effects are to stay here"
        if wall_s < _WORTH_A_PROCESS_SECONDS:
            return "thread", f"{cpu_bound}, but for too short a time to send it elsewhere"
        if record.beside_s and _scales(record):
            return "thread", f"{cpu_bound}, and several at once do not wait for each other"
        return "process", f"{cpu_bound}, and holds the interpreter lock"


def _key(fn: Callable[..., Any]) -> Any:
    """Tell functions apart by name: a lambda or closure made anew is the same function."""
    if isinstance(fn, functools.partial):
        return _key(fn.func)
    fn = getattr(fn, "__func__", fn)  # bound methods
    name = getattr(fn, "__qualname__", None)
    if name is None:
        return type(fn)
    code = getattr(fn, "__code__", None)
    line = getattr(code, "co_firstlineno", 0)
    return getattr(fn, "__module__", None), name, line


def _typical(record: _Record) -> float:
    return statistics.median(record.alone_s or record.shortest_s)


def _cpu_share(record: _Record) -> float:
    """Median CPU time over the shortest wall time, at most 1."""
    shortest = min(record.shortest_s)
    return min(1.0, statistics.median(record.cpu_s) / shortest) if shortest > 0 else 1.0


def _scales(record: _Record) -> bool:
    return statistics.median(record.beside_s) <= _SCALES * max(
        statistics.median(record.cpu_s), 1e-9
    )
