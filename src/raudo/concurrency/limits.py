"""What holds calls back: a rate, a circuit breaker and a budget for retries.

Each is given to an `AsyncProcessor`, which asks it before every attempt, and may be shared by
several. They are thread-safe and read the clock that they are handed.
"""

from __future__ import annotations

import functools
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from raudo.concurrency._checks import check_positive
from raudo.errors import CircuitOpen

__all__ = ["CircuitBreaker", "Circuits", "RateLimit", "RetryBudget", "function_behind"]


def function_behind(fn: Callable[..., Any]) -> Any:
    """Return what calls of `fn` are counted under: a key that can be referred to weakly.

    A method's is its function, a partial's what it wraps; the class of a callable object that is
    neither hashable nor weakly referable stands for it.
    """
    key: Any = fn
    while isinstance(key, functools.partial | types.MethodType):
        key = key.func if isinstance(key, functools.partial) else key.__func__
    try:
        hash(key)
        weakref.ref(key)
    except TypeError:
        return type(key)
    return key


class RateLimit:
    """At most `rate` attempts in `per` seconds, evenly spread, after a burst of `burst`.

    The generic cell rate algorithm (ITU-T I.371): one number, the time at which the next attempt is
    due if all come evenly. Attempts that must wait are served in order.
    """

    def __init__(self, rate: float, per: float = 1.0, burst: int = 1) -> None:
        self._interval = check_positive("per", per) / check_positive("rate", rate)
        self._slack = self._interval * (check_positive("burst", burst, at_least=1) - 1)
        self._due = float("-inf")
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take the next place; return the seconds to wait for it."""
        with self._lock:
            due = max(self._due, now - self._slack)
            self._due = due + self._interval
        return max(0.0, due - now)

    def give_back(self) -> None:
        """Return a place that was not used, to those who come later."""
        with self._lock:
            self._due -= self._interval


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """When to stop calling a function that keeps failing.

    A function's circuit opens after `failures` failures in a row; with `failure_ratio` also when
    that share of the calls that ended in the last `window` seconds failed, if at least `min_calls`
    did. While it is open calls fail at once with `CircuitOpen`, which names the function and whose
    `retry_after` says when it may be called again. After `reset_after` seconds it is half open: one
    call is let through, whose success closes the circuit and whose failure opens it as long again.
    Only errors of `counts` are failures; cancellations never are.
    """

    failures: int = 5
    reset_after: float = 30.0
    counts: type[Exception] | tuple[type[Exception], ...] = (Exception,)
    failure_ratio: float | None = None
    min_calls: int = 20
    window: float = 30.0

    def __post_init__(self) -> None:
        check_positive("failures", self.failures, at_least=1)
        check_positive("reset_after", self.reset_after)
        check_positive("min_calls", self.min_calls, at_least=1)
        check_positive("window", self.window)
        if self.failure_ratio is not None and not 0 < self.failure_ratio <= 1:
            raise ValueError(f"failure_ratio must be in (0, 1], not {self.failure_ratio!r}")


class _Traffic:
    """Calls and failures of the last one to two halves of a window."""

    __slots__ = ("_begun", "_calls", "_failures", "_half_s")

    def __init__(self, window_s: float, now: float) -> None:
        self._half_s, self._begun = window_s / 2, now
        self._calls, self._failures = [0, 0], [0, 0]  # of the half before, and of this one

    def note(self, is_failure: bool, now: float) -> None:
        """Count a call that ended."""
        n_halves = int((now - self._begun) / self._half_s)
        if n_halves:
            for counts in (self._calls, self._failures):
                counts[:] = [counts[1] if n_halves == 1 else 0, 0]
            self._begun += n_halves * self._half_s
        self._calls[1] += 1
        self._failures[1] += is_failure

    @property
    def n_calls(self) -> int:
        return sum(self._calls)

    @property
    def n_failures(self) -> int:
        return sum(self._failures)


class _Circuit:
    __slots__ = ("failures", "opened_at", "probing", "traffic", "why")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.traffic: _Traffic | None = None
        self.opened_at: float | None = None
        self.why = ""
        self.probing = False


class Pass(NamedTuple):
    """What `Circuits.enter` gives and `leave` takes back."""

    circuit: _Circuit
    is_probe: bool


class Circuits:
    """The circuit of each function, under one `CircuitBreaker`'s rules.

    A method's circuit is its function's, a partial's that of what it wraps; functions that are gone
    are forgotten.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._circuits: weakref.WeakKeyDictionary[Any, _Circuit] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    def of(self, fn: Callable[..., Any]) -> _Circuit:
        """Return the circuit that calls of `fn` go through."""
        key = function_behind(fn)
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is None:
                circuit = self._circuits[key] = _Circuit()
        return circuit

    def enter(self, fn: Callable[..., Any], now: float) -> Pass:
        """Let a call through.

        Raises:
            CircuitOpen: The function has failed too often lately.
        """
        circuit = self.of(fn)
        with self._lock:
            if circuit.opened_at is None:
                return Pass(circuit, is_probe=False)
            left = circuit.opened_at + self._breaker.reset_after - now
            if left <= 0 and not circuit.probing:
                circuit.probing = True
                return Pass(circuit, is_probe=True)
        name = getattr(fn, "__qualname__", repr(fn))
        when = (
            f"may be tried again in {left:.3g} s" if left > 0 else "is being tried again just now"
        )
        raise CircuitOpen(f"{name} {circuit.why}, is not called for now and {when}", max(left, 0.0))

    def leave(self, passed: Pass, error: BaseException | None, now: float) -> None:
        """Note how the call ended."""
        circuit, was_probe = passed
        is_failure = isinstance(error, self._breaker.counts)
        with self._lock:
            if was_probe:
                circuit.probing = False
            elif circuit.opened_at is not None:
                return  # it began before the circuit opened: the next probe decides
            if error is not None and not is_failure:
                return
            why = self._why_it_opens(circuit, is_failure, now)
            if why is not None or (was_probe and is_failure):
                circuit.opened_at, circuit.traffic = now, None
                circuit.why = why or circuit.why
            elif was_probe:
                circuit.opened_at = None

    def _why_it_opens(self, circuit: _Circuit, is_failure: bool, now: float) -> str | None:
        """Count a call that ended; say why the circuit is to open, None if it is not."""
        breaker = self._breaker
        circuit.failures = circuit.failures + 1 if is_failure else 0
        if circuit.failures >= breaker.failures:
            return f"failed {circuit.failures} times in a row"
        if breaker.failure_ratio is None:
            return None
        traffic = circuit.traffic
        if traffic is None:
            traffic = circuit.traffic = _Traffic(breaker.window, now)
        traffic.note(is_failure, now)
        n, n_failed = traffic.n_calls, traffic.n_failures
        if n < breaker.min_calls or n_failed < breaker.failure_ratio * n:
            return None
        return f"failed {n_failed} times in its last {n} calls"

    def n_open(self) -> int:
        """Return how many functions are not called for now."""
        with self._lock:
            return sum(circuit.opened_at is not None for circuit in self._circuits.values())


class RetryBudget:
    """At most `ratio` retries for each first attempt, over all tasks, once `reserve` are used up.

    Keeps retries from multiplying the load on a service that is already failing.
    """

    def __init__(self, ratio: float = 0.2, reserve: int = 10) -> None:
        if not 0 <= ratio <= 10:
            raise ValueError(f"ratio must be from 0 to 10, not {ratio!r}")
        if reserve < 0:
            raise ValueError(f"reserve must be at least 0, not {reserve!r}")
        self._ratio = ratio
        # A long quiet time must not buy a storm: at most ten times the reserve is saved up.
        self._most = max(1.0, reserve * 10.0)
        self._left = float(reserve)
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """Note a first attempt."""
        with self._lock:
            self._left = min(self._most, self._left + self._ratio)

    def withdraw(self) -> bool:
        """Pay for a retry; False where the budget is spent."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True
