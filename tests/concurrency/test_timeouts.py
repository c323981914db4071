"""Timeouts that follow from what a function takes: when they begin, bite, and give way."""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import statistics
import time
from typing import Any

import pytest

from concurrency.async_helpers import check_accounts, spin
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor
from raudo.concurrency.timeouts import SmartTimeout, SmartTimeouts
from raudo.errors import TaskTimeout

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("draw", [random.expovariate, random.paretovariate])
def test_limit_follows_the_quantile(draw: Any) -> None:
    chance = random.Random(3)
    smart = SmartTimeouts(SmartTimeout(factor=1.0, minimum=0.001))
    seen = [0.01 * getattr(chance, draw.__name__)(2.0) for _ in range(1900)]
    for seconds in seen:
        smart.record(len, seconds, was_ended=False)
    limit = smart.limit(len, None)
    assert limit is not None
    expected = statistics.quantiles(seen, n=100)[98]
    assert expected / 1.2 <= limit <= expected * 1.2
    assert smart.limit(len, limit / 2) == limit / 2
    assert smart.limit(max, 5.0) == 5.0


def test_limit_recovers_when_calls_become_slower_and_faster() -> None:
    smart = SmartTimeouts(SmartTimeout(minimum=0.001, after=10))
    for _ in range(200):
        smart.record(len, 0.01, was_ended=False)
    n_ended = 0
    while (limit := smart.limit(len, 60.0)) is not None and limit < 1.0:
        smart.record(len, limit, was_ended=True)
        n_ended += 1
    assert n_ended < 100
    for _ in range(10_000):
        smart.record(len, 0.01, was_ended=False)
    assert smart.limit(len, 60.0) == pytest.approx(0.03, rel=0.15)


def test_hanging_call_is_ended_soon() -> None:
    async def fetch(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def main() -> None:
        processor = AsyncProcessor(timeout=60, smart_timeout=True)
        await processor.process_batch([(fetch, (0.02,))] * 200)
        begun = now()
        with pytest.raises(TaskTimeout):
            await processor.process(fetch, 3600)
        assert now() - begun < 0.1
        results = await processor.process_batch(
            [(fetch, (3600 if i % 10 == 5 else 0.02,)) for i in range(50)], return_exceptions=True
        )
        assert sum(isinstance(each, TaskTimeout) for each in results) == 5
        with pytest.raises(TaskTimeout, match=r"0\.01 s"):
            await processor.process(fetch, 3600, timeout=0.01)
        assert 0.05 < processor.get_stats()["smart_timeouts"][fetch.__qualname__] < 1
        assert check_accounts(processor)["timed_out"] == 7

    run_virtual(main())


def test_off_by_default_and_before_enough_calls() -> None:
    async def main() -> None:
        for processor in (AsyncProcessor(), AsyncProcessor(smart_timeout=SmartTimeout(after=500))):
            await processor.process_batch([(asyncio.sleep, (0.001,))] * 200)
            await processor.process(asyncio.sleep, 50)
            assert not processor.get_stats()["smart_timeouts"]

    run_virtual(main())


async def test_hanging_process_task_is_killed() -> None:
    smart = SmartTimeout(factor=5, minimum=0.2, after=16)
    async with AsyncProcessor(2, smart_timeout=smart) as processor:
        await processor.process_batch([(spin, (0.0005,))] * 48, 2, kind="process")
        begun = time.monotonic()
        with pytest.raises(TaskTimeout):
            await processor.process(spin, 50, kind="process")
        assert time.monotonic() - begun < 20


async def test_functions_are_forgotten() -> None:
    processor = AsyncProcessor(smart_timeout=SmartTimeout(after=1))

    async def made() -> None:
        await asyncio.sleep(0)

    await processor.process_batch([functools.partial(made)] * 64)
    assert len(processor.get_stats()["smart_timeouts"]) == 1
    del made
    gc.collect()
    assert not processor.get_stats()["smart_timeouts"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"factor": 0.5}, "factor"),
        ({"quantile": 1.0}, "quantile"),
        ({"minimum": 0.0}, "minimum"),
        ({"after": 0}, "after"),
    ],
)
def test_bad_settings_are_named(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SmartTimeout(**arguments)
    with pytest.raises(TypeError, match="smart_timeout"):
        AsyncProcessor(smart_timeout=3.0)  # type: ignore[arg-type]
