"""What a cache owns: references, cycles, copies, pickles, memory."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import sys
import weakref
from typing import Any

import pytest

from core.strategies import COMPILED
from raudo._core.cache import Cache
from raudo.testing import FakeClock

pytestmark = pytest.mark.parametrize("strategy", COMPILED)


class Thing:
    """Can be weakly referenced, hashed by identity, and hold on to anything."""

    held: Any = None


def weigh_one(key: Any, value: Any) -> int:
    return 1


def weigh_value(key: Any, value: Any) -> int:
    return int(value)


@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("through", ["value", "key", "listener", "weigher", "timer", "attribute"])
def test_cycles_through_the_cache_are_collected(strategy: str, through: str) -> None:
    class Sub(Cache):  # type: ignore[type-arg]
        pass

    thing = Thing()
    thing.held = lambda *args, thing=thing: 1 if thing else 0
    settings: dict[str, Any] = {}
    if through in ("listener", "weigher", "timer"):
        settings[{"listener": "on_evict"}.get(through, through)] = thing.held
    cache: Any = Sub(4, strategy=strategy, **settings)
    cache["plain"] = 1
    if through == "value":
        cache["thing"] = thing
    elif through == "key":
        cache[thing] = 1
    elif through == "attribute":
        cache.thing = thing
    thing.cache = cache  # type: ignore[attr-defined]
    gone, gone_cache = weakref.ref(thing), weakref.ref(cache)
    thing = cache = settings = None  # type: ignore[assignment]
    gc.collect()
    assert gone() is None
    assert gone_cache() is None


@pytest.mark.parallel_threads(1)
def test_objects_die_when_they_leave(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(3, strategy=strategy)

    holder = [cache]

    def put(key: Any) -> weakref.ref[Thing]:
        thing = Thing()
        holder[0][key] = thing
        return weakref.ref(thing)

    replaced = put("a")
    put("a")
    assert replaced() is None
    deleted = put("b")
    del cache["b"]
    assert deleted() is None
    popped = put("c")
    assert cache.pop("c") is not None
    assert popped() is None
    cache.clear()
    refs = [put(i) for i in range(30)]
    assert sum(ref() is not None for ref in refs) == len(cache)
    cache.resize(1)
    assert sum(ref() is not None for ref in refs) == 1
    cache.clear()
    assert sum(ref() is not None for ref in refs) == 0
    refs = [put(i) for i in range(3)]
    holder.clear()
    del cache
    assert [ref() for ref in refs] == [None, None, None]


@pytest.mark.parallel_threads(1)
def test_reference_counts_are_exact_after_every_operation(strategy: str) -> None:
    clock = FakeClock()
    cache: Cache[Any, Any] = Cache(4, strategy=strategy, timer=clock)
    key, value, default = Thing(), Thing(), Thing()
    base = sys.getrefcount(key), sys.getrefcount(value), sys.getrefcount(default)

    def extra() -> tuple[int, int, int]:
        now = sys.getrefcount(key), sys.getrefcount(value), sys.getrefcount(default)
        return (now[0] - base[0], now[1] - base[1], now[2] - base[2])

    absent, present = (0, 0, 0), (1, 1, 0)
    assert cache.get(key, default) is default
    assert cache.peek(key, default) is default
    assert cache.pop(key, default) is default
    assert key not in cache
    assert cache.get_many([key]) == {}
    assert cache.touch(key) is False
    with pytest.raises(KeyError):
        cache.expires_in(key)
    with pytest.raises(KeyError):
        cache[key]
    with pytest.raises(KeyError):
        del cache[key]
    assert extra() == absent
    cache[key] = value
    assert extra() == present
    cache[key] = value
    cache.set(key, value, 5.0)
    cache.set(key, value, ttl=math.inf)
    cache.set_many([(key, value)])
    cache.update({key: value})
    cache.setdefault(key, default)
    assert extra() == present
    for _ in range(3):
        assert cache.get(key) is value
        assert cache[key] is value
        assert cache.peek(key) is value
        assert key in cache
        assert cache.get_many([key, key]) == {key: value}
        assert cache.get_or_load(key, Thing) is value
        assert cache.touch(key, 3.0)
        assert cache.expires_in(key) == 3.0
        assert list(cache) == [key]
        assert list(cache.values()) == [value]
        assert list(cache.items()) == [(key, value)]
        assert cache.copy() == cache
    assert extra() == present
    clock.advance(9.0)
    assert cache.get(key) is None
    assert extra() == absent
    cache.set(key, value, 1.0)
    clock.advance(9.0)
    assert cache.expire() == 1
    assert extra() == absent
    cache.setdefault(key, value)
    assert extra() == present
    for i in range(50):
        cache[i] = i
        cache[i] = i
        cache.pop(key, None)
    assert extra() == absent
    assert cache.get_or_load(key, lambda _: value) is value
    assert extra() == present
    assert cache.pop(key) is value
    cache[key] = value
    while cache:
        cache.popitem()
    assert extra() == absent
    cache[key] = value
    cache.clear()
    assert extra() == absent
    cache[key] = value
    del cache
    assert extra() == absent


def test_can_be_weakly_referenced_and_subclassed(strategy: str) -> None:
    class Counted(Cache):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            self.calls = 0

        def __getitem__(self, key: Any) -> Any:
            self.calls += 1
            return super().__getitem__(key)

        def __missing__(self, key: Any) -> Any:
            return "missing"

    cache = Counted(3, strategy=strategy)
    assert weakref.ref(cache)() is cache
    cache["a"] = 1
    assert cache["a"] == 1
    assert cache.calls == 1
    assert cache.strategy == strategy
    twin = cache.copy()
    assert type(twin) is Counted
    assert twin == {"a": 1}


def filled(strategy: str, **settings: Any) -> Cache[Any, Any]:
    cache: Cache[Any, Any] = Cache(5, strategy=strategy, **settings)
    for i in range(7):
        cache[i] = [i]
    cache.get(4)
    return cache


def by_copy(cache: Any) -> Any:
    return cache.copy()


def by_copy_module(cache: Any) -> Any:
    return copy.copy(cache)


def by_deepcopy(cache: Any) -> Any:
    return copy.deepcopy(cache)


def by_pickle(cache: Any) -> Any:
    return pickle.loads(pickle.dumps(cache))


TWINS = [by_copy, by_copy_module, by_deepcopy, by_pickle]


@pytest.mark.parametrize("make", TWINS)
def test_a_twin_has_the_same_settings_entries_and_order(strategy: str, make: Any) -> None:
    cache = filled(strategy, ttl=60.0)
    twin = make(cache)
    assert twin == cache
    assert list(twin) == list(cache) or strategy in (
        *("lfu", "s3fifo", "adaptive", "sieve", "tinylfu"),
    )
    for name in ("maxsize", "ttl", "strategy", "max_weight", "weight"):
        assert getattr(twin, name) == getattr(cache, name)
    shares = make in (by_copy, by_copy_module)
    assert all((twin.peek(key) is cache.peek(key)) is shares for key in cache)
    twin["new"] = 1
    gone = next(key for key in twin if key != "new")
    del twin[gone]
    assert "new" not in cache
    assert gone in cache
    assert len(twin) <= 5


@pytest.mark.parametrize("make", TWINS)
def test_a_twin_keeps_expiries_and_weights(strategy: str, make: Any) -> None:
    cache: Cache[Any, Any] = Cache(
        9, strategy=strategy, ttl=100.0, weigher=weigh_value, max_weight=20
    )
    cache["default"] = 3
    cache.set("never", 4, math.inf)
    cache.set("own", 5, 1000.0)
    twin = make(cache)
    assert twin.expires_in("never") is None
    assert 900.0 < twin.expires_in("own") <= 1000.0
    assert 90.0 < twin.expires_in("default") <= 100.0
    assert (twin.weight, twin.max_weight) == (12, 20)
    twin["more"] = 15
    assert twin.weight <= 20
    assert cache.weight == 12


def test_pickle_of_subclass_keeps_class_and_attributes(strategy: str) -> None:
    cache = PickledCache(3, strategy=strategy)
    cache.label = "mine"
    cache["a"] = 1
    twin = pickle.loads(pickle.dumps(cache))
    assert type(twin) is PickledCache
    assert twin.label == "mine"
    assert twin == {"a": 1}


class PickledCache(Cache):  # type: ignore[type-arg]
    label = ""


def test_twin_of_a_listener_is_told_nothing_of_the_copying(strategy: str) -> None:
    heard: list[Any] = []
    cache = filled(strategy, on_evict=lambda *report: heard.append(report))
    heard.clear()
    twin = cache.copy()
    assert heard == []
    twin["new"] = 1
    assert len(heard) == 1


@pytest.mark.parallel_threads(1)
def test_sizeof_tells_the_truth(strategy: str) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    cache: Cache[Any, Any] = Cache(None, strategy=strategy)
    empty = sys.getsizeof(cache)
    assert empty < 2000
    keys = list(range(20_000))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for key in keys:
        cache[key] = None
    cache.resize(20_000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    told = sys.getsizeof(cache) - empty
    # The table's memory may come from malloc, which tracemalloc does not see.
    assert after - before <= told + 2000
    assert 20_000 * 24 <= told <= 20_000 * 100
    cache.set_many(dict.fromkeys(keys), ttl=10.0)
    assert sys.getsizeof(cache) - empty >= told + 20_000 * 8


@pytest.mark.parallel_threads(1)
def test_is_tracked_by_the_collector_and_shows_its_referents(strategy: str) -> None:
    key, value = Thing(), Thing()
    cache: Cache[Any, Any] = Cache(4, strategy=strategy)
    cache[key] = value
    assert gc.is_tracked(cache)
    referents = gc.get_referents(cache)
    assert any(each is key for each in referents)
    assert any(each is value for each in referents)


@pytest.mark.parallel_threads(1)
def test_clearing_a_cycle_runs_finalisers_that_use_the_cache(strategy: str) -> None:
    survivors: list[Any] = []

    class Finaliser:
        def __init__(self, cache: Any) -> None:
            self.cache = cache

        def __del__(self) -> None:
            self.cache["from the grave"] = 1
            self.cache.get(0)
            survivors.append(len(self.cache))

    cache: Any = Cache(8, strategy=strategy)
    for i in range(8):
        cache[i] = Finaliser(cache)
    del cache
    gc.collect()
    assert len(survivors) == 8


def test_a_cache_of_caches_is_no_recursion_problem(strategy: str) -> None:
    outer: Any = Cache(2, strategy=strategy)
    for _ in range(20_000):
        inner: Any = Cache(2, strategy=strategy)
        inner["outer"] = outer
        outer = inner
    del outer, inner
    gc.collect()
