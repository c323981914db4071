"""Early and negative loading, and the bound on loads."""

import asyncio
import gc
import random
import threading

import pytest

from raudo.cache import SmartCache
from raudo.cache.limit import LoadLimit
from raudo.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock(100.0)


async def settle():
    """Let what runs in the background come to rest."""
    for _ in range(20):
        await asyncio.sleep(0)


class Source:
    """A loader that counts its calls, takes time, and knows no key above 9."""

    def __init__(self, clock=None, takes_s=0.0):
        self.calls = []
        self.clock, self.takes_s = clock, takes_s

    async def __call__(self, key):
        self.calls.append(key)
        if self.clock is not None:
            self.clock.advance(self.takes_s)
        if key > 9:
            raise KeyError(key)
        return len(self.calls)


# --- early ------------------------------------------------------------------------------------


async def test_early_reloads_are_as_likely_as_the_paper_says(clock, monkeypatch):
    drawn = iter(())
    monkeypatch.setattr(random, "random", lambda: next(drawn))
    source = Source(clock, takes_s=2.0)
    async with SmartCache(9, levels=(1, 0, 0), clock=clock) as cache:

        async def ask():
            return await cache.get_or_load(1, source, 100, early=1.0)

        assert await ask() == 1  # took 2 s, ends 100 s from now
        clock.advance(96.0)
        drawn = iter([0.86])  # 2 s * -ln(0.14) = 3.93 s < 4 s left
        assert await ask() == 1
        await settle()
        assert source.calls == [1]
        drawn = iter([0.87])  # 2 s * -ln(0.13) = 4.08 s
        assert await ask() == 1  # the old value, at once
        await settle()
        assert source.calls == [1, 1]
        drawn = iter([0.5])
        assert await ask() == 2
        assert cache.get_stats()["refreshes"] == 1


async def test_an_entry_from_below_is_reloaded_by_the_mean_load(clock, monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 1 - 1e-12)
    source = Source(clock, takes_s=4.0)
    async with SmartCache(9, levels=(1, 1, 1), clock=clock) as cache:
        await cache.get_or_load(1, source, 50, early=1.0)
        for other in range(2, 6):
            await cache.set(other, "x")  # down it goes
        clock.advance(48.0)
        assert await cache.get_or_load(1, source, 50, early=1.0) == 1
        await settle()
        assert source.calls == [1, 1]


async def test_what_never_ends_is_never_reloaded_early(clock):
    source = Source()
    async with SmartCache(9, clock=clock) as cache:
        for _ in range(50):
            assert await cache.get_or_load(1, source, early=1000.0, refresh_ahead=1e9) == 1
        await settle()
        assert source.calls == [1]


# --- negative ---------------------------------------------------------------------------------


async def test_none_is_kept_for_its_own_time(clock):
    calls = []
    async with SmartCache(9, clock=clock) as cache:

        async def ask():
            return await cache.get_or_load("k", calls.append, 100, negative_ttl=5)

        assert [await ask(), await ask()] == [None, None]
        assert calls == ["k"]
        clock.advance(5.1)
        assert await ask() is None
        assert calls == ["k", "k"]


async def test_a_key_that_is_not_found_is_not_asked_for_again(clock):
    source = Source()
    async with SmartCache(9, clock=clock) as cache:

        async def ask(**options):
            return await cache.get_or_load(99, source, 100, **options)

        for _ in range(3):
            with pytest.raises(KeyError, match="99"):
                await ask(negative_ttl=5)
        assert source.calls == [99]
        assert cache.get_stats()["negative_hits"] == 2
        clock.advance(5.1)
        with pytest.raises(KeyError):
            await ask(negative_ttl=5)
        assert source.calls == [99, 99]
        await cache.set(99, "there now")
        assert await ask(negative_ttl=5) == "there now"
        await cache.delete(99)
        with pytest.raises(KeyError):
            await ask()  # what was not found before the change is void
        assert source.calls == [99, 99, 99]


async def test_other_errors_are_not_remembered(clock):
    calls = []

    async def load(key):
        calls.append(key)
        raise OSError("down")

    async with SmartCache(9, clock=clock) as cache:
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                await cache.get_or_load("k", load, negative_ttl=5)
    assert calls == ["k", "k"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"early": -1}, ValueError),
        ({"early": "1"}, TypeError),
        ({"early": float("nan")}, ValueError),
        ({"stale": True}, TypeError),
        ({"negative_ttl": 0}, ValueError),
        ({"negative_ttl": "5"}, TypeError),
    ],
)
async def test_wrong_options_are_named(options, error):
    async with SmartCache(9) as cache:
        with pytest.raises(error, match=next(iter(options))):
            await cache.get_or_load("k", str, **options)


# --- max_loads --------------------------------------------------------------------------------


async def test_loads_wait_their_turn():
    running, most, order = 0, 0, []

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(key)
        await asyncio.sleep(0)
        running -= 1
        return key

    async with SmartCache(100, max_loads=3) as cache:
        keys = [*range(20), *range(20)]
        assert await asyncio.gather(*(cache.get_or_load(k, load) for k in keys)) == keys
    assert most == 3
    assert order == list(range(20))


async def test_a_load_within_a_load_needs_no_permit():
    async with SmartCache(100, max_loads=1) as cache:

        async def load(key):
            return 1 if key == 0 else 1 + await cache.get_or_load(key - 1, load)

        async def both():
            return await asyncio.gather(*(cache.get_or_load(k, load) for k in (5, 2, 9)))

        assert await asyncio.wait_for(both(), 10) == [6, 3, 10]


async def test_who_is_cancelled_in_line_leaves_it():
    go, source = asyncio.Event(), []

    async def load(key):
        source.append(key)
        await go.wait()
        return key

    async with SmartCache(100, max_loads=1) as cache:
        tasks = [asyncio.ensure_future(cache.get_or_load(k, load)) for k in range(3)]
        await settle()
        tasks[1].cancel()
        go.set()
        assert await tasks[2] == 2
        assert await cache.get_or_load(7, load) == 7


async def test_errors_give_their_permit_back():
    async with SmartCache(100, max_loads=1) as cache:
        source = Source()
        for _ in range(3):
            with pytest.raises(KeyError):
                await cache.get_or_load(99, source)
        assert await cache.get_or_load(1, source) == 4


def test_permits_are_shared_by_threads_and_loops():
    running, most = 0, 0
    lock = threading.Lock()

    def load(key):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return key

    with SmartCache(100, max_loads=2) as cache:
        remember = cache.memoize()(load)

        def ask(n):
            if n % 2:
                assert remember(n) == n
            else:
                assert asyncio.run(_await(cache.get_or_load(n, load))) == n

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 2


async def test_a_synchronous_load_on_the_loop_does_not_wait_for_it():
    async with SmartCache(100, max_loads=1) as cache:
        go = asyncio.Event()

        async def load(key):
            await go.wait()
            return key

        task = asyncio.ensure_future(cache.get_or_load("slow", load))
        await settle()
        assert cache.memoize()(len)("abc") == 3  # would never end if it waited for the permit
        go.set()
        assert await task == "slow"


async def test_a_permit_is_not_lost_to_a_loop_that_has_ended():
    limit = LoadLimit(1)
    await limit.acquire_async()

    def wait_and_leave():
        loop = asyncio.new_event_loop()
        task = loop.create_task(limit.acquire_async())
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False
        loop.close()

    thread = threading.Thread(target=wait_and_leave)
    thread.start()
    thread.join()
    limit.release()
    assert limit.try_acquire()
    gc.collect()


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), ("2", TypeError), (True, TypeError)])
def test_a_wrong_bound_is_named(value, error):
    with pytest.raises(error, match="max_loads"):
        SmartCache(9, max_loads=value)


async def _await(awaitable):
    return await awaitable
