"""Rate limit, circuit breaker and retry budget, alone and inside a processor."""

from __future__ import annotations

import asyncio
import functools
import gc
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrency.async_helpers import check_accounts, double, fail
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor, Backoff
from raudo.concurrency.limits import CircuitBreaker, Circuits, RateLimit, RetryBudget
from raudo.errors import CircuitOpen

pytestmark = pytest.mark.timeout(30)


# --- rate -----------------------------------------------------------------------------------


@given(
    rate=st.integers(1, 100),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 0.2), min_size=1, max_size=80),
)
def test_no_window_holds_more_than_the_rate_and_a_burst(
    rate: int, burst: int, gaps: list[float]
) -> None:
    limit = RateLimit(rate, burst=burst)
    at, starts = 0.0, []
    for gap in gaps:
        at += gap
        wait = limit.reserve(at)
        assert wait >= 0
        starts.append(at + wait)
    assert starts == sorted(starts)
    for i, start in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= burst + rate * (starts[j] - start) + 1e-6


def test_quiet_time_buys_no_more_than_the_burst() -> None:
    limit = RateLimit(10, burst=3)
    limit.reserve(0.0)
    waits = [limit.reserve(1000.0) for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_processor_keeps_to_its_rate() -> None:
    times: list[float] = []

    async def note() -> None:
        times.append(now())

    async def main() -> None:
        processor = AsyncProcessor(rate=RateLimit(10, burst=2))
        await processor.process_batch([note] * 12)
        assert times[-1] - times[0] == pytest.approx(1.0)
        waiting = asyncio.create_task(processor.process_batch([note] * 50))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.wait([waiting])
        begun = now()
        await processor.process(note)  # what was reserved and not used is free again
        assert now() - begun < 0.2
        check_accounts(processor)

    run_virtual(main())


# --- circuit breaker ------------------------------------------------------------------------


def test_circuit_opens_probes_and_closes() -> None:
    circuits = Circuits(CircuitBreaker(failures=2, reset_after=10))

    def call(error: BaseException | None, at: float) -> None:
        circuits.leave(circuits.enter(double, at), error, at)

    call(OSError(), 0)
    call(None, 1)
    call(OSError(), 2)
    call(asyncio.CancelledError(), 3)  # no failure
    assert circuits.n_open() == 0
    call(OSError(), 4)
    assert circuits.n_open() == 1
    with pytest.raises(CircuitOpen, match="double failed 2 times") as caught:
        circuits.enter(double, 6)
    assert caught.value.retry_after == 8
    assert isinstance(caught.value, ConnectionError)
    probe = circuits.enter(double, 14)
    with pytest.raises(CircuitOpen):  # one at a time
        circuits.enter(double, 14)
    circuits.leave(probe, OSError(), 15)
    with pytest.raises(CircuitOpen):
        circuits.enter(double, 24)
    call(None, 25)
    call(None, 25)
    assert circuits.n_open() == 0


def test_circuit_opens_by_ratio_once_there_is_traffic() -> None:
    rule = CircuitBreaker(failures=100, failure_ratio=0.5, min_calls=10, window=60, reset_after=10)
    circuits = Circuits(rule)

    def call(fails: bool, at: float) -> None:
        circuits.leave(circuits.enter(double, at), OSError() if fails else None, at)

    for i in range(9):
        call(i % 2 == 0, i)
    assert circuits.n_open() == 0  # 5 of 9 failed, but 9 calls are not enough
    call(True, 9)
    with pytest.raises(CircuitOpen, match=r"double failed 6 times in its last 10 calls.* in 9 s"):
        circuits.enter(double, 10)
    call(False, 20)  # the probe
    assert circuits.n_open() == 0
    for i in range(8):
        call(True, 21 + i)
    for _ in range(5):
        call(True, 150)  # those of long ago no longer count
    assert circuits.n_open() == 0


def test_calls_that_began_before_the_circuit_opened_do_not_decide() -> None:
    circuits = Circuits(CircuitBreaker(failures=1, reset_after=10))
    early, late = circuits.enter(double, 0), circuits.enter(double, 0)
    circuits.leave(circuits.enter(double, 0), OSError(), 1)
    circuits.leave(early, None, 2)
    circuits.leave(late, OSError(), 9)
    with pytest.raises(CircuitOpen):
        circuits.enter(double, 10)
    circuits.leave(circuits.enter(double, 11), None, 11)
    assert circuits.n_open() == 0


def test_cancelled_probe_lets_the_next_one_probe() -> None:
    circuits = Circuits(CircuitBreaker(failures=1, reset_after=10))
    circuits.leave(circuits.enter(double, 0), OSError(), 0)
    circuits.leave(circuits.enter(double, 10), asyncio.CancelledError(), 11)
    circuits.leave(circuits.enter(double, 11), None, 11)
    assert circuits.n_open() == 0


def test_each_function_has_its_circuit_and_none_is_kept_alive() -> None:
    circuits = Circuits(CircuitBreaker(failures=1))

    class Service:
        def call(self) -> None: ...

    def local() -> None: ...

    assert circuits.of(Service().call) is circuits.of(Service().call)
    assert circuits.of(functools.partial(local, 1)) is circuits.of(local)
    assert circuits.of(local) is not circuits.of(Service.call)
    assert circuits.of([].append) is circuits.of([].append) or True
    n = len(circuits._circuits)
    del local
    gc.collect()
    assert len(circuits._circuits) < n


def test_processor_stops_calling_what_fails() -> None:
    calls = 0

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise OSError

    async def main() -> None:
        processor = AsyncProcessor(breaker=CircuitBreaker(failures=3, reset_after=5))
        errors = await processor.process_batch([broken] * 10, 1, return_exceptions=True)
        assert [type(e) for e in errors] == [OSError] * 3 + [CircuitOpen] * 7
        assert await processor.process(double, 1) == 2
        assert processor.get_stats()["open_circuits"] == 1
        await asyncio.sleep(5)
        with pytest.raises(OSError):
            await processor.process(broken)
        assert calls == 4
        check_accounts(processor)

    run_virtual(main())


def test_retries_wait_until_the_circuit_may_close() -> None:
    calls = 0

    async def recovers() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError
        return "ok"

    async def main() -> None:
        processor = AsyncProcessor(
            breaker=CircuitBreaker(failures=1, reset_after=7),
            retries=2,
            backoff=Backoff(0.1, jitter=0),
        )
        begun = now()
        assert await processor.process(recovers) == "ok"
        assert now() - begun == pytest.approx(7)

    run_virtual(main())


def test_open_circuit_pickles() -> None:
    again = pickle.loads(pickle.dumps(CircuitOpen("no", 3.0)))
    assert (str(again), again.retry_after) == ("no", 3.0)


# --- retry budget ---------------------------------------------------------------------------


def test_budget_bounds_retries_by_first_attempts() -> None:
    budget = RetryBudget(0.5, reserve=2)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


async def test_processor_stays_within_its_budget() -> None:
    processor = AsyncProcessor(retries=5, backoff=0, retry_budget=RetryBudget(0.1, reserve=3))
    errors = await processor.process_batch(
        [(fail, (OSError(),)) for _ in range(100)], return_exceptions=True
    )
    stats = check_accounts(processor)
    assert 3 <= stats["retried"] <= 3 + 10
    assert stats["failed_tasks"] == 100
    assert any("budget is spent" in note for e in errors for note in getattr(e, "__notes__", ()))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RateLimit(0), "rate"),
        (lambda: RateLimit(1, per=0), "per"),
        (lambda: RateLimit(1, burst=0), "burst"),
        (lambda: CircuitBreaker(failures=0), "failures"),
        (lambda: CircuitBreaker(reset_after=-1), "reset_after"),
        (lambda: RetryBudget(-1), "ratio"),
        (lambda: RetryBudget(reserve=-1), "reserve"),
    ],
)
def test_bad_limits_are_named(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
