"""`retry`: which calls are made again, after how long, and what passes through."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import pickle
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import Backoff, retry
from raudo.concurrency import retrying as retry_module
from raudo.concurrency.limits import RetryBudget
from raudo.concurrency.retrying import RetryRule, hint_of

pytestmark = pytest.mark.timeout(30)


class Flaky:
    """Fails `n` times, then returns its arguments."""

    def __init__(self, n: int, error: BaseException | None = None) -> None:
        self.left, self.calls, self.error = n, 0, error or OSError("busy")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return args, kwargs

    async def call(self, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(retry_module, "time", SimpleNamespace(sleep=waits.append))
    return waits


# --- direct calls ---------------------------------------------------------------------------


async def test_direct_call_returns_the_first_success() -> None:
    flaky = Flaky(2)
    assert await retry(flaky.call, 1, b=2, backoff=0) == ((1,), {"b": 2})
    assert flaky.calls == 3


async def test_direct_call_takes_a_plain_function_and_awaits_what_it_returns() -> None:
    assert await retry(Flaky(1), 5, backoff=0) == ((5,), {})
    flaky = Flaky(1)
    assert await retry(lambda: flaky.call(7), backoff=0) == ((7,), {})


async def test_direct_call_without_arguments_can_be_awaited() -> None:
    flaky = Flaky(1)
    assert await retry(flaky.call, backoff=0) == ((), {})
    assert flaky.calls == 2


async def test_last_error_is_raised_as_it_is_with_a_note() -> None:
    flaky = Flaky(99)
    with pytest.raises(OSError) as caught:
        await retry(flaky.call, 1, retries=2, backoff=0)
    assert caught.value is flaky.error
    assert flaky.calls == 3
    assert caught.value.__notes__ == ["gave up after 3 attempts"]


async def test_error_that_is_not_named_is_not_retried() -> None:
    flaky = Flaky(99, ValueError("no"))
    with pytest.raises(ValueError) as caught:
        await retry(flaky.call, 1, retry_on=OSError)
    assert flaky.calls == 1
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(3)])
async def test_cancellation_and_exit_pass_through(error: BaseException) -> None:
    flaky = Flaky(99, error)
    with pytest.raises(type(error)):
        retry(flaky, backoff=0)()
    assert flaky.calls == 1
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await retry(flaky.call, 1)
        assert flaky.calls == 2


def test_cancelling_the_caller_ends_the_waiting() -> None:
    async def main() -> None:
        flaky = Flaky(99)
        task = asyncio.create_task(retry(flaky.call, 1, backoff=Backoff(60, maximum=60, jitter=0)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert flaky.calls == 1

    run_virtual(main())


def test_waits_grow_up_to_the_maximum() -> None:
    times: list[float] = []

    async def fail(x: int) -> None:
        times.append(now())
        raise OSError

    async def main() -> None:
        backoff = Backoff(1, factor=3, maximum=10, jitter=0)
        with pytest.raises(OSError):
            await retry(fail, 0, retries=4, backoff=backoff)

    run_virtual(main())
    waits = [late - early for early, late in itertools.pairwise(times)]
    assert waits == pytest.approx([1, 3, 9, 10])


# --- decorators -----------------------------------------------------------------------------


@retry
def decorated(x: int) -> int:
    """Doubled."""
    return 2 * x


@retry(retries=1, backoff=0)
async def decorated_async(x: int) -> int:
    return 2 * x


async def test_decorated_functions_keep_their_face() -> None:
    assert decorated(4) == 8
    assert await decorated_async(4) == 8
    assert decorated.__name__ == "decorated"
    assert decorated.__doc__ == "Doubled."
    assert list(inspect.signature(decorated).parameters) == ["x"]
    assert inspect.iscoroutinefunction(decorated_async.__call__)
    assert not inspect.iscoroutinefunction(decorated.__call__)
    assert "decorated" in repr(decorated)


def test_decorated_function_pickles_by_name() -> None:
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert pickle.loads(pickle.dumps(decorated_async)) is decorated_async
    wrapped = retry(partial(int, "7"))
    assert pickle.loads(pickle.dumps(wrapped))() == 7


def test_sync_decorator_sleeps_between_attempts(slept: list[float]) -> None:
    flaky = Flaky(2)
    patient = retry(retries=2, backoff=Backoff(1, jitter=0))(flaky)
    assert patient(3) == ((3,), {})
    assert slept == [1, 2]


def test_sync_decorator_raises_the_last_error(slept: list[float]) -> None:
    flaky = Flaky(99)
    with pytest.raises(OSError) as caught:
        retry(flaky, retries=2)()
    assert caught.value is flaky.error
    assert (flaky.calls, len(slept)) == (3, 2)


async def test_async_decorator_retries() -> None:
    flaky = Flaky(2)

    @retry(backoff=0)
    async def call(x: int) -> Any:
        return flaky(x)

    assert await call(1) == ((1,), {})
    assert flaky.calls == 3


async def test_methods_bind() -> None:
    class Service:
        def __init__(self) -> None:
            self.flaky = Flaky(1)

        @retry(backoff=0)
        def plain(self, x: int) -> Any:
            return self.flaky(x)

        @retry(backoff=0)
        async def quick(self, x: int) -> Any:
            return self.flaky(x)

        @classmethod
        @retry
        def made(cls) -> type:
            return cls

        @staticmethod
        @retry
        def free(x: int) -> int:
            return x

    assert Service().plain(1) == ((1,), {})
    assert await Service().quick(x=2) == ((2,), {})
    assert Service.made() is Service
    assert Service.free(3) == 3


# --- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"retries": -1}, ValueError, "retries"),
        ({"retries": 1.5}, TypeError, "retries"),
        ({"retries": True}, TypeError, "retries"),
        ({"retry_on": [ValueError]}, TypeError, "retry_on"),
        ({"retry_on": "ValueError"}, TypeError, "retry_on"),
        ({"retry_on": BaseException}, ValueError, "never retried"),
        ({"retry_on": (OSError, KeyboardInterrupt)}, ValueError, "KeyboardInterrupt"),
        ({"backoff": -1}, ValueError, "backoff"),
        ({"backoff": float("nan")}, ValueError, "backoff"),
        ({"backoff": "1"}, TypeError, "backoff"),
        ({"retires": 3}, TypeError, "retires"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        retry(**arguments)


def test_what_cannot_be_retried_is_refused() -> None:
    def generate() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        retry(generate)
    with pytest.raises(TypeError, match="function"):
        retry(3)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "fields", [{"first": -1}, {"factor": 0.5}, {"maximum": -1}, {"jitter": 1.5}, {"factor": 1e999}]
)
def test_backoff_refuses_bad_fields(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Backoff(**fields)


# --- waiting --------------------------------------------------------------------------------


@given(
    failures=st.integers(1, 10_000),
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    maximum=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)
def test_delay_is_within_its_bounds(
    failures: int, first: float, factor: float, maximum: float, jitter: float
) -> None:
    highest = Backoff(first, factor, maximum, 0).delay(failures)
    assert 0 <= highest <= maximum
    drawn = Backoff(first, factor, maximum, jitter).delay(failures)
    assert highest * (1 - jitter) <= drawn * (1 + 1e-9) + 1e-12
    assert drawn <= highest


def test_jitter_draws_from_the_given_source() -> None:
    assert Backoff(8, jitter=0.5, random=lambda: 0.5).delay(1) == 6
    assert Backoff(8, jitter=1, random=lambda: 0.25).delay(1) == 6


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [(3, 3.0), (2.5, 2.5), ("4", 4.0), (timedelta(seconds=5), 5.0), (0, 0.0)]
    + [(bad, None) for bad in (None, "Wed, 21 Oct 2026 07:28:00 GMT", -1, True, float("nan"), [1])],
)
def test_retry_after_is_read_from_the_error(hint: object, seconds: float | None) -> None:
    error = OSError()
    error.retry_after = hint  # type: ignore[attr-defined]
    assert hint_of(error) == seconds


def test_hint_is_waited_for_but_not_past_the_maximum() -> None:
    rule = RetryRule(3, (OSError,), Backoff(1, maximum=10, jitter=0))
    error = OSError()
    error.retry_after = 0.2  # type: ignore[attr-defined]
    assert rule.pause(error, 1) == 1
    error.retry_after = 7  # type: ignore[attr-defined]
    assert rule.pause(error, 1) == 7
    error.retry_after = 11  # type: ignore[attr-defined]
    assert rule.pause(error, 1) is None
    assert "asks to wait 11 s" in error.__notes__[0]


# --- budget -----------------------------------------------------------------------------------


async def test_a_budget_bounds_the_retries_of_all_calls(slept: list[float]) -> None:
    calls = 0

    def count_and_fail() -> None:
        nonlocal calls
        calls += 1
        raise OSError

    async def count_and_fail_later() -> None:
        count_and_fail()

    budget = RetryBudget(0.5, reserve=3)
    options: dict[str, Any] = {"backoff": 0, "retry_budget": budget}
    plain, later = retry(count_and_fail, **options), retry(count_and_fail_later, **options)
    for _ in range(10):
        with pytest.raises(OSError):
            plain()
        with pytest.raises(OSError):
            await later()
        with pytest.raises(OSError) as caught:
            await retry(lambda _: count_and_fail(), 1, **options)
    assert calls == 30 + 3 + 15  # the reserve, and half of the first attempts
    assert "budget is spent" in caught.value.__notes__[-1]
