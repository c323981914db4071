"""Trying again: which errors, how often, and how long to wait in between.

(Not named `retry`: a submodule of that name would take the function's place in the package.)

`Backoff` says how long, `RetryRule` whether at all; `retry` applies both to a call or a function.
`AsyncProcessor` follows the same rule. Cancellation, KeyboardInterrupt, SystemExit and
GeneratorExit always pass through: a rule that names them is refused.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from raudo.concurrency._calls import is_coroutine_function
from raudo.concurrency._checks import check_seconds
from raudo.concurrency.limits import RetryBudget

__all__ = ["Backoff", "RetryRule", "retry"]

P = ParamSpec("P")
R = TypeVar("R")
RetryOn = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each new attempt: exponentially longer, and jittered.

    The wait after the n-th failure is drawn from `[(1 - jitter) * w, w]`, where
    `w = min(maximum, first * factor ** (n - 1))`. Jitter 1 is the "full jitter" of Brooker
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), 0.5 his "equal".

    An error that carries `retry_after` (seconds or a timedelta, as many HTTP clients set it) is
    waited for at least that long; one that asks for more than `maximum` is not tried again.

    Args:
        first: Seconds after the first failure.
        factor: Growth from one wait to the next, at least 1.
        maximum: Longest wait in seconds.
        jitter: Share of the wait that is left to chance, in [0, 1].
        random: Returns a float in [0, 1).
    """

    first: float = 0.1
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.5
    random: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("first", "maximum"):
            check_seconds(f"backoff {name}", getattr(self, name))
        if not 1 <= self.factor < float("inf"):
            raise ValueError(f"backoff factor must be a finite number >= 1, not {self.factor!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"backoff jitter must be in [0, 1], not {self.jitter!r}")

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after this many failures (1 or more)."""
        try:
            wait = min(self.maximum, self.first * self.factor ** (failures - 1))
        except OverflowError:
            wait = self.maximum
        return wait * (1 - self.jitter * self.random()) if self.jitter else wait


def as_backoff(value: float | Backoff) -> Backoff:
    """Return a `Backoff` as it is, and make one of a number: its first delay in seconds."""
    if isinstance(value, Backoff):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"backoff must be seconds or a Backoff, not {type(value).__name__}")
    first = check_seconds("backoff", value)
    return Backoff(first, maximum=max(first, 30.0))


def _check_retry_on(value: object) -> tuple[type[Exception], ...]:
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(
                f"retry_on must be an exception class or a tuple of them, not {value!r}"
            )
        if not issubclass(kind, Exception):
            raise ValueError(
                f"retry_on must name subclasses of Exception, not {kind.__name__}: "
                "cancellation and exit are never retried"
            )
    return kinds


def hint_of(error: BaseException) -> float | None:
    """Return the seconds that the error's `retry_after` asks to wait; None where it has none."""
    hint = getattr(error, "retry_after", None)
    if isinstance(hint, timedelta):
        hint = hint.total_seconds()
    elif isinstance(hint, str):
        try:
            hint = float(hint)
        except ValueError:  # an HTTP date: the server's clock is not ours
            return None
    if isinstance(hint, bool) or not isinstance(hint, int | float):
        return None
    return float(hint) if hint >= 0 else None


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Whether, and after how long, a failed call is made again."""

    retries: int = 3
    retry_on: tuple[type[Exception], ...] = (Exception,)
    backoff: Backoff = Backoff()
    budget: RetryBudget | None = None

    @classmethod
    def of(
        cls,
        retries: int,
        retry_on: RetryOn,
        backoff: float | Backoff,
        budget: RetryBudget | None = None,
    ) -> RetryRule:
        """Check the arguments that users give, and make a rule of them."""
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise TypeError(f"retries must be an int, not {type(retries).__name__}")
        if retries < 0:
            raise ValueError(f"retries must be at least 0, not {retries}")
        if budget is not None and not isinstance(budget, RetryBudget):
            raise TypeError(f"retry_budget must be a RetryBudget, not {type(budget).__name__}")
        return cls(retries, _check_retry_on(retry_on), as_backoff(backoff), budget)

    def pause(self, error: BaseException, failures: int) -> float | None:
        """Return the seconds to wait before the next attempt; None: raise the error.

        Args:
            failures: Attempts that failed so far, this one included.
        """
        if failures > self.retries or not isinstance(error, self.retry_on):
            if failures > 1:
                error.add_note(f"gave up after {failures} attempts")
            return None
        delay = self.backoff.delay(failures)
        hint = hint_of(error)
        if hint is not None and hint > self.backoff.maximum:
            error.add_note(
                f"not tried again: it asks to wait {hint:g} s, "
                f"and the backoff's maximum is {self.backoff.maximum:g} s"
            )
            return None
        if self.budget is not None and not self.budget.withdraw():
            error.add_note("not tried again: the retry budget is spent")
            return None
        return delay if hint is None else max(hint, delay)


# Rules are few and calls many: a direct `retry(fn, ...)` should not build its rule anew each time.
_cached_rule = functools.lru_cache(maxsize=256, typed=True)(RetryRule.of)


_ANY: RetryOn = (Exception,)
_FIRST_SECONDS = 0.1
_DEFAULT_RULE = RetryRule(3, (Exception,), Backoff(_FIRST_SECONDS))


def _rule(
    retries: int, retry_on: RetryOn, backoff: float | Backoff, budget: RetryBudget | None
) -> RetryRule:
    if budget is not None:
        return RetryRule.of(retries, retry_on, backoff, budget)
    if retry_on is _ANY and backoff is _FIRST_SECONDS and type(retries) is int and retries == 3:
        return _DEFAULT_RULE
    try:
        return _cached_rule(retries, retry_on, backoff)  # type: ignore[arg-type]
    except TypeError:  # unhashable, or a bad argument: the uncached way names it
        return RetryRule.of(retries, retry_on, backoff)


async def _call(
    rule: RetryRule, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    failures = 0
    if rule.budget is not None:
        rule.budget.deposit()
    while True:
        try:
            value = fn(*args, **kwargs)
            return await value if hasattr(value, "__await__") else value
        except rule.retry_on as error:
            failures += 1
            pause = rule.pause(error, failures)
            if pause is None:
                raise
        await asyncio.sleep(pause)


def _depositing(budget: RetryBudget | None, fn: Callable[P, R]) -> Callable[P, R]:
    """Return what makes a first attempt; without a budget that is the function itself."""
    if budget is None:
        return fn

    def first(*args: P.args, **kwargs: P.kwargs) -> R:
        budget.deposit()
        return fn(*args, **kwargs)

    return first


def _call_sync(
    rule: RetryRule,
    fn: Callable[..., R],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    error: BaseException,
) -> R:
    """Go on after the first failure."""
    failures = 1
    while True:
        pause = rule.pause(error, failures)
        if pause is None:
            raise error
        time.sleep(pause)
        try:
            return fn(*args, **kwargs)
        except rule.retry_on as next_error:
            error = next_error
            failures += 1


class Retrying(Generic[P, R]):
    """A function that is tried again when it fails; what `retry(fn)` returns.

    Binds like a function when it is a class attribute, and is pickled by name like one. Awaiting
    the object itself calls the function without arguments.
    """

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R], rule: RetryRule) -> None:
        functools.update_wrapper(self, fn)
        self._fn, self._rule, self._retry_on = fn, rule, rule.retry_on
        self._first = _depositing(rule.budget, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return self._first(*args, **kwargs)
        except self._retry_on as error:
            return _call_sync(self._rule, self._fn, args, kwargs, error)

    def __await__(self) -> Generator[Any, Any, Any]:
        return _call(self._rule, self._fn, (), {}).__await__()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"retry({self._fn!r}, retries={self._rule.retries})"

    def __reduce__(self) -> Any:
        name: str = getattr(self, "__qualname__", "")
        home: Any = inspect.getmodule(self._fn)
        for part in name.split("."):
            home = getattr(home, part, None)
        return name if home is self else (_remake, (self._fn, self._rule))


class AsyncRetrying(Retrying[P, R]):
    """The same for a coroutine function."""

    def __init__(self, fn: Callable[P, R], rule: RetryRule) -> None:
        super().__init__(fn, rule)
        if hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:  # type: ignore[override]
        failures = 0
        fn: Callable[P, Any] = self._first
        while True:
            try:
                return await fn(*args, **kwargs)
            except self._retry_on as error:
                failures += 1
                fn = self._fn
                pause = self._rule.pause(error, failures)
                if pause is None:
                    raise
            await asyncio.sleep(pause)


def _remake(fn: Callable[P, R], rule: RetryRule) -> Retrying[P, R]:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"retry cannot wrap the generator function {fn!r}: it fails while it is iterated over, "
            "not when it is called"
        )
    return (AsyncRetrying if is_coroutine_function(fn) else Retrying)(fn, rule)


@overload
def retry(
    *,
    retries: int = ...,
    retry_on: RetryOn = ...,
    backoff: float | Backoff = ...,
    retry_budget: RetryBudget | None = ...,
) -> Callable[[Callable[P, R]], Retrying[P, R]]: ...
@overload
def retry(
    fn: Callable[P, R],
    /,
    *,
    retries: int = ...,
    retry_on: RetryOn = ...,
    backoff: float | Backoff = ...,
    retry_budget: RetryBudget | None = ...,
) -> Retrying[P, R]: ...
@overload
def retry(
    fn: Callable[..., Any],
    /,
    *args: Any,
    retries: int = ...,
    retry_on: RetryOn = ...,
    backoff: float | Backoff = ...,
    retry_budget: RetryBudget | None = ...,
    **kwargs: Any,
) -> Coroutine[Any, Any, Any]: ...
def retry(
    fn: Callable[..., Any] | None = None,
    /,
    *args: Any,
    retries: int = 3,
    retry_on: RetryOn = _ANY,
    backoff: float | Backoff = _FIRST_SECONDS,
    retry_budget: RetryBudget | None = None,
    **kwargs: Any,
) -> Any:
    """Call a function again when it fails, with exponentially longer, jittered waits.

    There are two uses, and what is passed tells them apart:

    - `await retry(fn, *args, **kwargs)` calls `fn` now. A plain function runs on the event loop
      and should be quick; what it returns is awaited if it can be.
    - `@retry`, `@retry(retries=5)` and `retry(fn)` give a function with the same signature,
      synchronous if `fn` is (it then waits with `time.sleep`), that retries whenever it is called.
      That object may also be awaited at once, so that `await retry(fn)` with no arguments works.

    The last error is raised as it is, with a note of how many attempts were made.

    Args:
        retries: Attempts after the first.
        retry_on: Exception class, or a tuple of them, that is tried again.
        backoff: Seconds after the first failure (then doubling, up to 30 s), or a `Backoff`.
        retry_budget: Bound on retries as a share of first attempts; may be shared by functions.
    """
    rule = _rule(retries, retry_on, backoff, retry_budget)
    if fn is None:
        if kwargs:
            raise TypeError(f"retry got an unexpected argument {next(iter(kwargs))!r}")
        return functools.partial(_remake, rule=rule)
    if not callable(fn):
        raise TypeError(f"retry needs a function, not {type(fn).__name__}")
    if args or kwargs:
        return _call(rule, fn, args, kwargs)
    return _remake(fn, rule)
