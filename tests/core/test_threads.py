"""Many threads on one cache: nothing lost, nothing wrong, one load a key, no deadlock."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.strategies import COMPILED
from raudo._core.cache import Cache
from raudo._core.loading import Load
from raudo.testing import FakeClock

N_THREADS = 8
pytestmark = pytest.mark.parallel_threads(1)  # they bring their own threads


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], object], n: int = N_THREADS) -> list[BaseException]:
    """Run `work(i)` in n threads; return what they raised. The watchdog is pytest's timeout."""
    errors: list[BaseException] = []
    start = threading.Barrier(n)

    def run(i: int) -> None:
        try:
            start.wait(20)
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    return errors


class SlowKey:
    """A key whose hash and equality are Python code, where threads are switched."""

    __slots__ = ("name",)

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name % 5)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlowKey) and self.name == other.name


@pytest.mark.parametrize("kind", ["int", "python"])
@pytest.mark.parametrize("strategy", [*COMPILED, "python policy"])
def test_mixed_work_keeps_the_books(strategy: str, kind: str) -> None:
    from core.test_python_policy import PythonLru

    heard: Counter[str] = Counter()
    n_sets: Counter[int] = Counter()
    clock = FakeClock()
    lock = threading.Lock()

    def listener(key: Any, value: Any, reason: str) -> None:
        with lock:
            heard[reason] += 1

    cache: Cache[Any, Any] = Cache(
        40,
        strategy=PythonLru() if strategy == "python policy" else strategy,
        ttl=50.0,
        timer=clock,
        on_evict=listener,
    )
    make: Any = int if kind == "int" else SlowKey

    def work(i: int) -> None:
        random_ = random.Random(i)
        n = 0
        for step in range(4000 if kind == "int" else 800):
            name = random_.randrange(100)
            key = make(name)
            act = random_.randrange(14)
            if act < 4:
                cache[key] = (name, i)
                n += 1
            elif act < 8:
                got = cache.get(key)
                assert got is None or got[0] == name
            elif act == 8:
                cache.pop(key, None)
            elif act == 9:
                cache.set(key, (name, i), random_.choice([1.0, 5.0, 100.0]))
                n += 1
            elif act == 10:
                got = cache.get_many([make(other) for other in range(name, name + 4)])
                assert all(
                    value[0] == found for found, value in ((_name(k), v) for k, v in got.items())
                )
            elif act == 11:
                clock.advance(random_.choice([0.0, 0.5]))
                cache.expire()
            elif act == 12:
                assert len(list(cache.items())) <= 40
                cache.touch(key, 20.0)
            elif step % 50 == 0:
                cache.resize(random_.choice([20, 40]))
            else:
                cache.peek(key)
                assert len(cache) <= 40
        n_sets[i] = n

    assert in_threads(work) == []
    assert sum(n_sets.values()) == len(cache) + heard.total()
    stats = cache.stats()
    assert stats["inserts"] + stats["updates"] == sum(n_sets.values())
    assert len(list(cache)) <= len(cache) <= 40
    cache.clear()
    assert len(cache) == 0
    assert sum(n_sets.values()) == heard.total()


def _name(key: Any) -> int:
    return key.name if isinstance(key, SlowKey) else key


@pytest.mark.parametrize("make", [int, SlowKey])
@pytest.mark.parametrize("strategy", COMPILED)
def test_get_or_load_loads_once_however_many_ask(strategy: str, make: Any) -> None:
    cache: Cache[Any, Any] = Cache(1000, strategy=strategy)
    n_loads: Counter[int] = Counter()

    def loader(key: Any) -> object:
        n_loads[_name(key)] += 1
        threading.Event().wait(0.0005)
        return _name(key), object()

    results: dict[int, list[Any]] = {}

    def work(i: int) -> None:
        results[i] = [cache.get_or_load(make(name), loader) for name in range(60)]

    assert in_threads(work) == []
    assert set(n_loads.values()) == {1}
    for i in range(1, N_THREADS):
        assert all(mine is first for mine, first in zip(results[i], results[0], strict=True))


def test_get_or_load_hammered_at_the_end_of_a_load_still_loads_once() -> None:
    # The narrow place: between one thread's miss and its look for a load under way, another
    # thread's load may end.
    for _ in range(150):
        cache: Cache[Any, Any] = Cache(10, strategy="lru")
        n_loads: list[int] = []

        def loader(key: Any, n_loads: list[int] = n_loads) -> int:
            n_loads.append(1)
            return 1

        def work(i: int, cache: Any = cache, loader: Any = loader) -> None:
            for _ in range(3):
                cache.get_or_load(SlowKey(1), loader)

        assert in_threads(work, 4) == []
        assert len(n_loads) == 1


def test_a_loader_that_raises_raises_in_every_waiter_and_stores_nothing() -> None:
    cache: Cache[Any, Any] = Cache(10)
    n_loads = 0
    go = threading.Event()

    def loader(key: Any) -> object:
        nonlocal n_loads
        n_loads += 1
        go.wait(20)
        raise ZeroDivisionError("no luck")

    def work(i: int) -> None:
        if i == N_THREADS - 1:
            while n_loads == 0:
                threading.Event().wait(0.001)
            threading.Event().wait(0.05)  # time for the others to wait
            go.set()
            return
        cache.get_or_load("key", loader)

    errors = in_threads(work)
    assert len(errors) == N_THREADS - 1
    assert {type(error) for error in errors} == {ZeroDivisionError}
    assert n_loads < N_THREADS - 1
    assert len(cache) == 0
    assert cache.get_or_load("key", lambda key: "works now") == "works now"


def test_base_exceptions_of_a_loader_do_not_leave_waiters_hanging() -> None:
    cache: Cache[Any, Any] = Cache(10)

    def loader(key: Any) -> object:
        threading.Event().wait(0.02)
        raise KeyboardInterrupt

    errors = in_threads(lambda i: cache.get_or_load("key", loader), 4)
    assert {type(error) for error in errors} == {KeyboardInterrupt}
    assert cache.get_or_load("key", lambda key: 1) == 1


def test_a_loader_may_ask_for_its_own_key_and_for_others() -> None:
    cache: Cache[Any, Any] = Cache(10)

    def fibonacci(n: int) -> int:
        return (
            n
            if n < 2
            else cache.get_or_load(n - 1, fibonacci) + cache.get_or_load(n - 2, fibonacci)
        )

    assert cache.get_or_load(9, fibonacci) == 34
    depth = 0

    def own(key: str) -> int:
        nonlocal depth
        depth += 1
        return depth if depth == 3 else cache.get_or_load(key, own)

    assert cache.get_or_load("own", own) == 3
    assert cache["own"] == 3


def test_loaders_that_ask_for_each_others_keys_do_not_deadlock_for_ever() -> None:
    # a waits for b's thread and b for a's: a cycle of loads must not hang both threads for ever.
    cache: Cache[Any, Any] = Cache(10)
    both = threading.Barrier(2)

    def loader(key: int) -> int:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return cache.get_or_load(1 - key, lambda other: 100 + other) + key

    results: dict[int, int] = {}

    def work(i: int) -> None:
        results[i] = cache.get_or_load(i, loader)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads), "the two loads wait for each other"
    assert set(results) == {0, 1}


def test_a_load_that_is_done_makes_no_circle() -> None:
    # This thread loaded `mine`, and another one, which has not woken up yet, waited for that inside
    # its own load: its load is awaited, not run a second time.
    other = -1
    mine, theirs = Load(), Load()
    theirs.owner = other
    Load.waiting[other] = mine
    try:
        assert not theirs.may_be_awaited()
        mine.finish("value")
        assert theirs.may_be_awaited()
    finally:
        del Load.waiting[other]


@pytest.mark.parametrize("strategy", COMPILED)
def test_iteration_while_others_write_sees_whole_pairs(strategy: str) -> None:
    cache: Cache[int, int] = Cache(64, strategy=strategy)
    stop = threading.Event()

    def work(i: int) -> None:
        if i < 2:
            step = 0
            while not stop.is_set():
                step += 1
                cache[step % 100] = step % 100
                cache.pop((step * 7) % 100, None)
        else:
            for _ in range(100):
                assert all(key == value for key, value in cache.items())
                cache.copy()
            if i == 2:
                stop.set()

    try:
        assert in_threads(work, 4) == []
    finally:
        stop.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_loads_what_a_thread_of_its_parent_was_at() -> None:
    code = """
        import os, threading, warnings
        from raudo import Cache

        warnings.simplefilter("ignore", DeprecationWarning)
        cache = Cache(8)
        begun, may_end = threading.Event(), threading.Event()

        def load(key):
            begun.set()
            may_end.wait()
            return "parent's"

        thread = threading.Thread(target=cache.get_or_load, args=("k", load))
        thread.start()
        begun.wait()
        child = os.fork()
        if child == 0:
            os._exit(cache.get_or_load("k", lambda key: "child's") != "child's")
        ended = os.waitpid(child, 0)[1]
        may_end.set()
        thread.join()
        print(ended, cache["k"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "0 parent's\n", done.stderr
