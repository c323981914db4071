"""`cached` for coroutine functions: one call for all tasks, threads and loops that ask."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref

import pytest

from cache.cached_helpers import Owner, run
from raudo.cache import cached


def test_coroutines_are_remembered_and_a_hit_does_not_suspend():
    calls = []

    @cached(maxsize=8)
    async def f(x, y=0):
        calls.append(x)
        await asyncio.sleep(0)
        return x + y

    async def main():
        assert await f(1) == 1
        hit = f(1)
        with pytest.raises(StopIteration) as stop:
            hit.send(None)
        assert stop.value.value == 1
        assert await asyncio.create_task(f(1)) == 1
        assert await f(1, y=2) == await f(1, y=2) == 3
        assert f.invalidate(1)
        assert await f(1) == 1

    run(main())
    assert calls == [1, 1, 1]
    assert asyncio.iscoroutinefunction(f)
    assert f.__name__ == "f"
    assert f.cache_info().hits == 3
    f.cache_clear()
    assert f.cache_info() == (0, 0, 8, 0)


def test_coroutines_run_once_for_all_tasks_and_a_cancelled_first_cancels_nobody():
    calls = []
    release = None

    @cached
    async def f(x):
        calls.append(x)
        await release.wait()
        return object()

    async def main():
        nonlocal release
        release = asyncio.Event()
        tasks = [asyncio.create_task(f(1)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert len(set(map(id, results[1:]))) == 1
        assert await f(1) is results[1]

    run(main())
    assert calls == [1]


def test_coroutines_errors_reach_all_and_are_not_kept():
    calls = []

    @cached
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        raise ValueError(x)

    async def main():
        results = await asyncio.gather(*(f(1) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in results] == [ValueError] * 3
        with pytest.raises(ValueError):
            await f(1)

    run(main())
    assert calls == [1, 1]


def test_coroutines_are_bound_to_no_loop():
    @cached
    async def f(x):
        await asyncio.sleep(0)
        return x

    for n in range(3):
        assert run(f(n % 2)) == n % 2


def test_coroutines_whose_loop_ended_are_called_anew():
    calls = []

    @cached
    async def f(x):
        calls.append(x)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return x

    async def give_up():
        task = asyncio.create_task(f(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    run(give_up())
    assert run(f(1)) == 1
    assert calls == [1, 1]


def test_coroutines_wait_across_threads_and_loops():
    calls, started, go = [], threading.Event(), threading.Event()

    @cached
    async def f(x):
        calls.append(x)
        started.set()
        await asyncio.to_thread(go.wait, 10)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(run(f(1)))) for _ in range(3)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert len(set(map(id, results))) == 1


def test_coroutine_methods_keep_their_instance_while_they_run_and_no_longer():
    async def main():
        assert await Owner(5).add_async(1) == 6
        owner = Owner(1)
        assert await asyncio.gather(owner.add_async(1), owner.add_async(1)) == [2, 2]
        assert owner.calls == 1
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None

    run(main())


def test_without_stampede_protection_each_call_runs():
    calls = []

    @cached(stampede=False)
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        return x

    async def main():
        await asyncio.gather(f(1), f(1))
        await f(1)

    run(main())
    assert calls == [1, 1]


@cached
async def at_module_level(x):
    return x


def test_a_cached_coroutine_function_pickles_and_copies_as_a_function_does():
    for made in (
        pickle.loads(pickle.dumps(at_module_level)),
        copy.copy(at_module_level),
        copy.deepcopy(at_module_level),
    ):
        assert made is at_module_level
