"""Learns where each function should run: in the caller, on a thread, or in another process.

What is measured per call is its wall time, the CPU time of the thread that ran it, and the CPU time
that this whole process spent meanwhile. From the last few calls:

- tiny: the median call is under 20 us. Handing it over costs more than running it: inline.
- I/O: it is off the CPU for more than half of its shortest wall time. The shortest, because waiting
  for the interpreter lock counts as wall time too, and under load every function would look like
  I/O. On threads.
- CPU: the rest. Run on threads, several at once, the process either spends one CPU second a second,
  so that they wait for each other's interpreter lock, or more (NumPy, zlib and file reads release
  it). With that known, what a call costs in each place can be told, and the cheapest is taken:
  inline up to 0.2 ms, as the loop would wait for the lock anyway, else threads or processes.

Then threads and processes are compared by what was really done in a second: a wrong estimate is
corrected by the pace at which calls end while several are in flight. Functions in processes run on
threads for a few calls now and then, so that one that changes is moved again.

A function may move only if it is importable by its name and its arguments and result pickle; never
a closure, a lambda or a bound method. A function that returns None is taken to run for its side
effects, which would be lost in another process, and stays too.
"""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

from raudo.concurrency._route_record import Record, median
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.pickling import name_of
from raudo.concurrency._workers.travel import arguments_pickle, why_it_stays

__all__ = ["Kind", "Router"]

Kind = Literal["inline", "thread", "process"]

TINY_SECONDS = 20e-6
_INLINE_SECONDS = 200e-6  # longest mean call that holds the caller up, if it computes
_WAITED_SECONDS = 1e-3  # off the CPU: too long for a call inline
_THREAD_SECONDS = 30e-6  # to hand a call to a thread and take its result back
_CPU_SHARE = 0.5
_ALL_CPU_SHARE = 0.8
_QUIET_SHARE = 0.5  # of a second: a process that spends less holds no call up
_WORTH_MOVING = 1.2  # times faster elsewhere; less is noise, or the cost of being wrong
_N_TRIED = 8  # calls on threads before a function moves, and at every look back
_LOOK_BACK_EVERY = 512
_MAX_FUNCTIONS = 1024
_NOT_GIVEN = object()


class Router:
    """Chooses a kind of worker per function and revises the choice as calls are observed.

    Thread-safe. Keeps numbers for the 1,024 functions used last; holds no function and no argument.
    """

    def __init__(
        self,
        *,
        n_cpus: int | None = None,
        process_s: float = 0.5e-3,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._n_cpus = usable_cpus() if n_cpus is None else n_cpus
        self._process_s, self._clock = process_s, clock
        self._records: OrderedDict[Any, Record] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, fn: Callable[..., Any], args: tuple[Any, ...] = ()) -> Kind:
        """Return where `fn(*args)` should run. A function not seen before gets a thread."""
        with self._lock:
            record = self._record(fn)
            kind, _ = self._decision(record)
            if kind == "process" and record.n_looks:
                record.n_looks -= 1
                return "thread"
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
        busy_s: float | None = None,
        result: object = _NOT_GIVEN,
        n_running: int = 1,
        n_calls: int = 1,
        since_s: float | None = None,
    ) -> None:
        """Note one call: where it ran, how long it took, and the CPU time of its thread.

        `busy_s` is the CPU time of the whole process meanwhile; `n_running` counts the calls that
        ran at the same time in the same place, this one included; `result` lets the router see
        whether results could leave a process. Of `n_calls` together the times are those of one.
        `since_s` is the time since it, or they, were handed over; without it no pace is measured.
        """
        with self._lock:
            record = self._record(fn)
            self._count(record, kind, since_s, n_calls, n_running)
            record.cpu_s.append(cpu_s)
            record.n_since += 1
            is_alone = kind == "process" or n_running <= 1
            if is_alone or (busy_s is not None and busy_s < _QUIET_SHARE * wall_s):
                record.lone_s.append((wall_s, True))
            else:
                guess_s = self._without_company(wall_s, cpu_s, busy_s, n_running)
                record.lone_s.append((guess_s, False))
            if kind == "thread" and n_running > 1 and busy_s is not None and wall_s > 0:
                record.parallelism.append(busy_s / wall_s)
            if kind == "inline":
                if wall_s - cpu_s > _WAITED_SECONDS:
                    record.inline_waits = _LOOK_BACK_EVERY
                    record.decision = None
            elif record.inline_waits:
                record.inline_waits -= 1
            if result is _NOT_GIVEN:
                return
            only_none = result is None and record.only_none is not False
            if only_none is not record.only_none:
                record.only_none, record.decision = only_none, None
            is_candidate = record.stays is None
        if is_candidate and wall_s >= _INLINE_SECONDS and not arguments_pickle(result):
            self.keep_here(fn, "its results do not pickle")

    def _without_company(
        self, wall_s: float, cpu_s: float, busy_s: float | None, n_running: int
    ) -> float:
        """Guess how long a call on a thread would have taken had there been no other.

        Calls that wait for each other's interpreter lock, or for a CPU, take longer by their
        number, and share what the process spent.
        """
        if busy_s is None:
            return wall_s / min(n_running, self._n_cpus)
        return max(cpu_s, min(wall_s, busy_s / n_running))

    def note_end(self, fn: Callable[..., Any], kind: str, since_s: float, n_running: int) -> None:
        """Note a call of which is known how long ago it was handed over, and no more."""
        with self._lock:
            self._count(self._record(fn), kind, since_s, 1, n_running)

    def _count(
        self, record: Record, kind: str, since_s: float | None, n_calls: int, n_running: int
    ) -> None:
        record.n_calls += n_calls
        n = record.n_by_kind[kind] = record.n_by_kind.get(kind, 0) + n_calls
        if since_s is not None:
            record.note_end(kind, self._clock(), since_s, n_calls, n_running)
        is_untried = n_running > 1 and not record.parallelism
        if kind == "process" and (n % _LOOK_BACK_EVERY < n_calls or is_untried):
            record.n_looks = record.n_looks or _N_TRIED

    def keep_here(self, fn: Callable[..., Any], why: str) -> None:
        """Never choose a process for this function again."""
        with self._lock:
            record = self._record(fn)
            record.stays, record.decision = why, None

    def is_busy(self, fn: Callable[..., Any]) -> bool:
        """Say whether the function was seen to keep a CPU busy rather than to wait."""
        with self._lock:
            record = self._records.get(_key(fn))
            return record is not None and bool(record.cpu_s) and record.cpu_share(1) >= _CPU_SHARE

    def is_known(self, fn: Callable[..., Any]) -> bool:
        """Say whether the function was observed before."""
        with self._lock:
            record = self._records.get(_key(fn))
            return record is not None and bool(record.cpu_s)

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
                    "wall_s": record.typical_s() if record.cpu_s else None,
                    "cpu_s": median(record.cpu_s),
                    "cpu_share": record.cpu_share() if record.cpu_s else None,
                    "parallelism": median(record.parallelism),
                    "pace_s": {each: record.pace(each) for each in record.paces},
                    "may_move": record.stays is None,
                }
            return report

    def _why_it_stays(self, fn: Callable[..., Any]) -> str | None:
        return why_it_stays(fn)

    def _record(self, fn: Callable[..., Any]) -> Record:
        key = _key(fn)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record(name_of(fn), self._why_it_stays(fn))
            if len(self._records) > _MAX_FUNCTIONS:
                self._records.popitem(last=False)
        else:
            self._records.move_to_end(key)
        return record

    def _decision(self, record: Record) -> tuple[Kind, str]:
        """Return the last decision; it is made anew after an eighth more calls, or sixteen."""
        if record.decision is None or record.n_since * 8 >= min(record.n_calls, 128):
            record.decision, record.n_since = self._decide(record), 0
        return record.decision

    def _decide(self, record: Record) -> tuple[Kind, str]:
        if not record.cpu_s:
            return "thread", "not seen before"
        wall_s, share = record.typical_s(), record.cpu_share()
        may_be_inline = not record.inline_waits
        if wall_s < TINY_SECONDS and may_be_inline:
            return "inline", f"a call takes {wall_s * 1e6:.1f} us, less than handing it over"
        if share < _CPU_SHARE:
            return "thread", f"it is on the CPU for {share:.0%} of its time: I/O"
        cpu_bound = f"it is on the CPU for {share:.0%} of its time"
        cpu_s = statistics.fmean(record.cpu_s)
        parallelism = max(1.0, median(record.parallelism) or 1.0)
        on_thread_s = cpu_s / parallelism + _THREAD_SECONDS
        in_process_s = (cpu_s / share + self._process_s) / self._n_cpus
        elsewhere_s = on_thread_s if record.stays else min(on_thread_s, in_process_s)
        if (
            may_be_inline
            and share >= _ALL_CPU_SHARE
            and cpu_s <= min(_INLINE_SECONDS, elsewhere_s * _WORTH_MOVING)
        ):
            return "inline", f"{cpu_bound}, {cpu_s * 1e6:.0f} us a call: a thread would not help"
        scales = f"{cpu_bound}, and {parallelism:.1f} CPUs work when several run at once"
        if self._n_cpus < 2:
            return "thread", f"{cpu_bound}, but there is one CPU only"
        if record.stays is not None:
            return "thread", f"{cpu_bound}, but {record.stays}"
        if record.only_none:
            return "thread", f"{cpu_bound}, but it returns None: its effects are to stay here"
        on_threads, in_processes = record.pace("thread"), record.pace("process")
        if on_threads is not None and in_processes is not None:
            return _by_pace(on_threads, in_processes, cpu_bound)
        if not record.parallelism and record.n_by_kind.get("thread", 0) < _N_TRIED:
            return (
                "thread",
                f"{cpu_bound}; whether several at once wait for each other is not known",
            )
        if on_thread_s > in_process_s * _WORTH_MOVING:
            return "process", f"{cpu_bound}, and holds the interpreter lock"
        if parallelism >= _WORTH_MOVING:
            return "thread", scales
        return "thread", f"{cpu_bound}, but for too short a time to send it elsewhere"


def _by_pace(thread_s: float, process_s: float, cpu_bound: str) -> tuple[Kind, str]:
    ran = f"{cpu_bound}; one ended every {thread_s * 1e3:.2f} ms on threads and every"
    ran += f" {process_s * 1e3:.2f} ms in processes"
    return ("process" if thread_s > process_s * _WORTH_MOVING else "thread"), ran


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
