"""One load per key, stale values, refreshing ahead, memoising and prefetching."""

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from raudo.cache import SmartCache, cached
from raudo.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock(100.0)


async def settle():
    """Let what runs in the background come to rest."""
    for _ in range(20):
        await asyncio.sleep(0)


# --- get_or_load ------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [(1, 0, 0), (1, 1, 1), (0, 0, 1)])
async def test_one_load_for_all_tasks(levels):
    calls = []

    async def load(key):
        calls.append(key)
        await asyncio.sleep(0)
        return [key]

    async with SmartCache(9, levels=levels) as cache:
        found = await asyncio.gather(*(cache.get_or_load("k", load) for _ in range(10)))
        assert found == [["k"]] * 10
        assert await cache.get_or_load("k", load) == ["k"]
        assert calls == ["k"]
        assert cache.get_stats()["loads"] == 1


def test_one_load_for_all_threads_and_loops():
    calls, started, go = [], threading.Event(), threading.Event()

    def load(key):
        calls.append(key)
        started.set()
        go.wait(10)
        return object()

    cache, results = SmartCache(9, levels=(1, 0, 0)), []

    def ask():
        results.append(asyncio.run(_await(cache.get_or_load("k", load))))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert calls == ["k"]
    assert len(set(map(id, results))) == 1
    cache.close_nowait()


async def _await(awaitable):
    return await awaitable


async def test_a_cancelled_first_caller_cancels_nobody():
    go, calls = asyncio.Event(), []

    async def load(key):
        calls.append(key)
        await go.wait()
        return key

    async with SmartCache(9) as cache:
        tasks = [asyncio.ensure_future(cache.get_or_load("k", load)) for _ in range(3)]
        await settle()
        tasks[0].cancel()
        await settle()
        go.set()
        assert await asyncio.gather(*tasks[1:]) == ["k", "k"]
        assert tasks[0].cancelled()
        assert calls == ["k"]


async def test_errors_reach_all_who_wait_and_are_not_stored():
    async def load(key):
        await asyncio.sleep(0)
        raise KeyError(key)

    async with SmartCache(9) as cache:
        found = await asyncio.gather(
            *(cache.get_or_load("k", load) for _ in range(3)), return_exceptions=True
        )
        assert [type(each) for each in found] == [KeyError] * 3
        assert await cache.get_or_load("k", lambda key: 1) == 1
        assert cache.get_stats()["load_failures"] == 1


async def test_none_is_a_value_that_is_kept():
    calls = []
    async with SmartCache(9, loader=lambda key: calls.append(key)) as cache:
        assert await cache.get_or_load("k") is None
        assert await cache.get_or_load("k") is None
        assert await cache.get("k", "default") is None
    assert calls == ["k"]


async def test_what_is_changed_during_a_load_is_not_overwritten_by_it():
    go = asyncio.Event()

    async def load(key):
        await go.wait()
        return "old"

    async with SmartCache(9) as cache:
        for change, left in (
            (lambda: cache.set("k", "new"), "new"),
            (lambda: cache.delete("k"), None),
            (lambda: cache.clear(), None),
        ):
            go.clear()
            await cache.delete("k")
            task = asyncio.ensure_future(cache.get_or_load("k", load))
            await settle()
            await change()
            go.set()
            assert await task == "old"
            assert await cache.get("k") == left


async def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself():
    calls = []
    async with SmartCache(9) as cache:

        async def load(key):
            calls.append(key)
            return 1 if len(calls) > 1 else 1 + await cache.get_or_load(key, load)

        assert await asyncio.wait_for(cache.get_or_load("k", load), 10) == 2


async def test_loaders_that_ask_for_each_others_key_do_not_wait_for_ever():
    async with SmartCache(9) as one, SmartCache(9) as other:
        both = asyncio.Barrier(2)

        async def load(key):
            await both.wait()
            if key == "a":
                return key + await other.get_or_load("b", leaf)
            return key + await one.get_or_load("a", leaf)

        async def leaf(key):
            return key.upper()

        got = asyncio.gather(one.get_or_load("a", load), other.get_or_load("b", load))
        # The second to ask closes the circle, and so loads what it asked for itself.
        assert await asyncio.wait_for(got, 10) in (["abA", "bA"], ["aB", "baB"])


async def test_a_loader_that_gathers_may_wait_for_one_load_twice():
    async with SmartCache(9) as cache:
        go = asyncio.Event()

        async def slow(key):
            await go.wait()
            return key

        async def load(key):
            wanted = [cache.get_or_load("slow", slow) for _ in range(3)]
            tasks = [asyncio.ensure_future(each) for each in wanted]
            await settle()
            tasks[0].cancel()
            go.set()
            return [await each for each in tasks[1:]]

        assert await asyncio.wait_for(cache.get_or_load("k", load), 10) == ["slow", "slow"]


def test_threads_whose_loaders_ask_for_each_others_key_do_not_wait_for_ever():
    both = threading.Barrier(2)
    calls = []

    @cached()
    def load(key):
        calls.append(key)
        if len(calls) > 2:
            return key
        both.wait(10)
        return key + load("b" if key == "a" else "a")

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(load, key) for key in "ab"]
        got = [future.result(30) for future in futures]
    assert got in (["aba", "ba"], ["ab", "bab"])


async def test_a_stale_value_is_served_while_one_reload_runs(clock):
    calls, go = [], asyncio.Event()

    async def load(key):
        calls.append(key)
        if len(calls) > 1:
            await go.wait()
        return len(calls)

    async with SmartCache(9, clock=clock) as cache:

        async def ask():
            return await cache.get_or_load("k", load, 10, stale=5)

        assert await ask() == 1
        clock.advance(11)
        assert await cache.get("k") is None
        assert not await cache.contains("k")
        assert [await ask(), await ask()] == [1, 1]
        await settle()
        assert len(calls) == 2
        go.set()
        await settle()
        assert await ask() == 2
        clock.advance(16)
        assert await ask() == 3


async def test_a_failed_reload_leaves_the_stale_value(clock):
    calls = []

    async def load(key):
        calls.append(key)
        if len(calls) == 2:
            raise OSError
        return len(calls)

    async with SmartCache(9, clock=clock) as cache:
        assert await cache.get_or_load("k", load, 10, stale=5) == 1
        clock.advance(11)
        assert await cache.get_or_load("k", load, 10, stale=5) == 1
        await settle()
        assert await cache.get_or_load("k", load, 10, stale=5) == 1
        await settle()
        assert await cache.get_or_load("k", load, 10, stale=5) == 3
        assert cache.get_stats()["load_failures"] == 1


async def test_a_value_is_refreshed_ahead_of_its_end(clock):
    calls = []

    async def load(key):
        calls.append(key)
        return len(calls)

    async with SmartCache(9, clock=clock) as cache:
        for seconds, expected in ((0, 1), (5, 1), (4, 1), (0, 2), (9, 2)):
            clock.advance(seconds)
            assert await cache.get_or_load("k", load, 10, refresh_ahead=2) == expected
            await settle()
        assert len(calls) == 3


async def test_loading_without_a_loader_or_with_bad_times_is_refused():
    async with SmartCache(9) as cache:
        with pytest.raises(TypeError, match="loader"):
            await cache.get_or_load("k")
        with pytest.raises(ValueError, match="stale"):
            await cache.get_or_load("k", str, stale=-1)


def test_a_load_whose_loop_ended_is_made_anew():
    calls = []
    cache = SmartCache(9, levels=(1, 0, 0))

    async def load(key):
        calls.append(key)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return key

    async def give_up():
        task = asyncio.ensure_future(cache.get_or_load("k", load))
        await settle()
        task.cancel()

    asyncio.run(give_up())
    assert asyncio.run(_await(cache.get_or_load("k", load))) == "k"
    assert len(calls) == 2
    cache.close_nowait()


async def test_a_loader_that_cancels_itself_hands_that_on():
    calls = []

    async def load(key):
        calls.append(key)
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async with SmartCache(9) as cache:
        askers = [asyncio.ensure_future(cache.get_or_load("k", load)) for _ in range(3)]
        done, _ = await asyncio.wait(askers, timeout=10)
        assert len(done) == 3
        assert all(asker.cancelled() for asker in askers)
        assert calls == ["k"]
        assert await cache.get_or_load("k", lambda key: 1) == 1


async def test_a_loader_that_raises_stop_iteration_does_not_hang():
    async with SmartCache(9) as cache:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(cache.get_or_load("k", lambda key: next(iter(()))), 10)
        assert cache.get_stats()["load_failures"] == 1


# --- memoize ----------------------------------------------------------------------------------


def test_memoize_for_functions():
    calls = []
    with SmartCache(3, "lru", levels=(1, 1, 1)) as cache:

        @cache.memoize(tags=["t"])
        def f(x, y=0):
            """Doc."""
            calls.append((x, y))
            return [x, y]

        assert f(1) == f(1) == [1, 0]
        assert f(x=1, y=2) == f(y=2, x=1) == [1, 2]
        assert calls == [(1, 0), (1, 2)]
        f(2)
        assert f(1) == [1, 0]
        assert len(calls) == 3
        asyncio.run(cache.invalidate_tag("t"))
        f(1)
        assert len(calls) == 4
        assert f.__doc__ == "Doc."


async def test_memoize_for_coroutines(clock):
    calls = []
    async with SmartCache(9, clock=clock) as cache:

        @cache.memoize(ttl=10, key=str.lower)
        async def f(text):
            calls.append(text)
            await asyncio.sleep(0)
            return text

        assert await asyncio.gather(f("A"), f("a"), f("A")) == ["A"] * 3
        clock.advance(10)
        assert await f("a") == "a"
    assert calls == ["A", "a"]


async def test_an_invalidation_during_a_memoized_call_makes_its_result_invalid():
    calls, go = [], asyncio.Event()
    async with SmartCache(9) as cache:

        @cache.memoize(tags=["t"])
        async def f():
            calls.append(1)
            await go.wait()
            return len(calls)

        task = asyncio.ensure_future(f())
        await settle()
        await cache.invalidate_tag("t")
        go.set()
        assert await task == 1
        assert await f() == 2


def test_functions_of_one_name_are_told_apart(tmp_path):
    def scaling(factor):
        return lambda n: n * factor

    for _ in range(2):  # in the same order after a restart: the same names
        with SmartCache(99, path=tmp_path / "c") as cache:
            double, triple = map(cache.memoize(), (scaling(2), scaling(3)))
            by_default = [cache.memoize()(lambda n, step=step: n + step) for step in (1, 2)]
            assert [double(5), triple(5)] == [10, 15]
            assert [each(5) for each in by_default] == [6, 7]
            loads = cache.get_stats()["loads"]
            assert cache.memoize()(scaling(2))(5) == 10  # made anew, but over the same values
            assert cache.get_stats()["loads"] == loads
    assert loads == 0


def test_memoize_takes_what_can_be_called():
    with SmartCache(9) as cache:
        assert [cache.memoize()(functools.partial(max, n))(5) for n in (3, 9)] == [5, 9]

        class Tools:
            @cache.memoize()
            @staticmethod
            def double(n):
                return n * 2

            @cache.memoize()
            @classmethod
            def name(cls, n):
                return cls.__name__ * n

        assert [Tools.double(2), Tools().double(2), Tools().name(2)] == [4, 4, "ToolsTools"]
        for bad in (5, lambda: (yield)):
            with pytest.raises(TypeError, match=r"callable|generator"):
                cache.memoize()(bad)


def test_memoized_recursion_works():
    with SmartCache(100) as cache:

        @cache.memoize()
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)

        assert fib(30) == 832040


# --- prefetch ---------------------------------------------------------------------------------


async def test_a_stride_is_loaded_ahead_and_counted():
    loaded = []

    async def load(key):
        loaded.append(key)
        return key

    async with SmartCache(400, loader=load, prefetch=True) as cache:
        misses = 0
        for n in range(0, 300, 3):
            if await cache.get(("page", n)) is None:
                misses += 1
                await cache.get_or_load(("page", n))
            await settle()
        stats = cache.get_stats()
    assert misses < 25
    assert stats["prefetch_precision"] > 0.9
    assert stats["prefetch_useful"] > 60
    assert len(loaded) == len(set(loaded))


async def test_random_keys_are_left_alone():
    import random

    chance, loaded = random.Random(3), []
    async with SmartCache(50, loader=loaded.append, prefetch=True) as cache:
        for _ in range(2000):
            await cache.get(chance.randrange(10**6))
            await cache.get(chance.choice("abc"))
        assert cache.get_stats()["prefetch_precision"] < 0.5
    assert len(loaded) < 20


async def test_memoize_without_arguments():
    async with SmartCache(9) as cache:

        @cache.memoize
        async def double(n):
            return 2 * n

        assert [await double(2), await double(2)] == [4, 4]
        assert cache.get_stats()["hits"] == 1
