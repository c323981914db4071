"""What user code may do amid an operation of `raudo.compat.cachetools`, and what is left of it."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import random
import sys
import threading
import weakref
from collections.abc import MutableMapping
from fractions import Fraction
from typing import Any

import pytest

import raudo.compat.cachetools as ours

CLASSES = ("Cache", "FIFOCache", "LFUCache", "LRUCache", "RRCache", "TTLCache", "TLRUCache")


def make(name: str, maxsize: float = 6, kind: Any = None, **settings: Any) -> Any:
    kind = kind or getattr(ours, name)
    if name == "TTLCache":
        settings.setdefault("ttl", 1000)
    if name == "TLRUCache":
        settings.setdefault("ttu", lambda key, value, now: now + 1000)
    return kind(maxsize, **settings)


def check(cache: Any) -> None:
    """Assert that entries, order and sizes agree, by emptying the cache."""
    keys = list(cache)
    assert len(keys) == len(set(keys)) == len(cache)
    assert {cache.popitem()[0] for _ in range(len(keys))} == set(keys)
    assert len(cache) == cache.currsize == 0
    with pytest.raises(KeyError):
        cache.popitem()


class Key:
    """Equal to its like, with the hash of all, and does something when it is compared."""

    def __init__(self, name: int, act: Any = None) -> None:
        self.name = name
        self.act = act

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if self.act:
            act, self.act = self.act, None
            act()
        return isinstance(other, Key) and self.name == other.name


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("use", ["get", "getitem", "set", "delete", "pop", "setdefault", "in"])
@pytest.mark.parametrize("what", ["clear", "fill", "delete", "set"])
def test_eq_that_changes_the_cache_leaves_it_whole(name: str, use: str, what: str) -> None:
    cache = make(name)
    for i in range(6):
        cache[Key(i)] = i

    def act() -> None:
        if what == "clear":
            cache.clear()
        elif what == "fill":
            for i in range(10, 20):
                cache[Key(i)] = i
        elif what == "delete":
            cache.pop(Key(3), None)
        else:
            cache[Key(3)] = "again"

    uses: dict[str, Any] = {
        "get": lambda key: cache.get(key),
        "getitem": lambda key: cache[key],
        "set": lambda key: cache.__setitem__(key, 0),
        "delete": lambda key: cache.__delitem__(key),
        "pop": lambda key: cache.pop(key),
        "setdefault": lambda key: cache.setdefault(key, 0),
        "in": lambda key: key in cache,
    }
    for found in (3, 7):
        key = Key(found, act)
        try:
            uses[use](key)
        except KeyError:
            assert use in ("getitem", "delete", "pop")
        key.act = None
    assert len(cache) <= 7
    check(cache)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("use", ["set", "evict", "delete", "clear", "init"])
def test_del_that_uses_the_cache_leaves_it_whole(name: str, use: str) -> None:
    cache = make(name)

    class Value:
        def __del__(self) -> None:
            cache.get(2)
            cache[100] = 1
            cache.pop(1, None)

    for i in range(6):
        cache[i] = Value()
    if use == "set":
        cache[3] = 3
    elif use == "evict":
        cache[50] = 50
    elif use == "delete":
        del cache[3]
    elif use == "clear":
        cache.clear()
    else:
        cache.__init__(6, **{"TTLCache": {"ttl": 5}, "TLRUCache": {"ttu": max}}.get(name, {}))
    cache.clear()
    cache.clear()
    check(cache)


@pytest.mark.parametrize("name", CLASSES)
def test_getsizeof_that_changes_the_cache_leaves_it_whole(name: str) -> None:
    random_ = random.Random(3)
    busy = False

    def size_of(value: int) -> int:
        nonlocal busy
        if not busy:
            busy = True
            random_.choice([lambda: cache.pop(value, None), cache.clear, lambda: None])()
            cache[random_.randrange(8)] = 1
            busy = False
        return value % 3

    cache = make(name, getsizeof=size_of)
    for step in range(300):
        cache[random_.randrange(8)] = step
        assert cache.currsize <= cache.maxsize + 3
    check(cache)


def test_choice_that_changes_the_list_of_keys_does_no_harm() -> None:
    def choice(keys: Any) -> Any:
        key = keys[0]
        keys.clear()
        return key

    cache = ours.RRCache[int, int](3, choice=choice)
    for i in range(20):
        try:
            cache[i] = i
        except (IndexError, KeyError):
            cache.clear()
    assert len(cache) <= 3


@pytest.mark.parametrize("name", CLASSES)
def test_threads_without_a_lock_leave_it_whole(name: str) -> None:
    cache = make(name, 20)
    failures: list[BaseException] = []

    def run(seed: int) -> None:
        random_ = random.Random(seed)
        for step in range(1500):
            key = random_.randrange(40)
            try:
                if step % 5 == 0:
                    cache.pop(key, None)
                elif step % 211 == 0:
                    cache.clear()
                elif step % 3:
                    cache[key] = step
                else:
                    cache.get(key)
            except KeyError:
                pass  # evicting what another thread has just removed
            except BaseException as error:
                failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=[seed]) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    assert len(cache) <= 24
    check(cache)


@pytest.mark.parametrize("name", CLASSES)
def test_cycles_through_keys_and_values_are_collected(name: str) -> None:
    class Owner:
        pass

    for way in ("key", "value", "attribute", "getsizeof"):
        owner = Owner()
        cache = make(name, getsizeof=(lambda value, owner=owner: 1) if way == "getsizeof" else None)
        owner.cache = cache  # type: ignore[attr-defined]
        cache[1] = 1
        if way == "key":
            cache[owner] = 1
        elif way == "value":
            cache[2] = [owner]
        elif way == "attribute":
            cache.owner = owner
        gone = weakref.ref(owner), weakref.ref(cache)
        del owner, cache
        gc.collect()
        assert [each() for each in gone] == [None, None], way


@pytest.mark.parametrize("name", CLASSES)
def test_removed_items_are_released_at_once(name: str) -> None:
    class Thing:
        pass

    def fill() -> tuple[Any, list[Any]]:
        cache = make(name, 3)
        things = [Thing() for _ in range(9)]
        for i, thing in enumerate(things[:6]):
            cache[i] = thing
        key = next(iter(cache))
        cache[key] = things[6]
        cache[key] = things[7]
        del cache[key]
        return cache, [weakref.ref(thing) for thing in things]

    gc.disable()
    try:
        cache, references = fill()
        assert sum(each() is not None for each in references) == 2
        cache.clear()
        assert not any(each() is not None for each in references)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", CLASSES)
def test_hooks_assigned_after_the_class_was_made_are_called(name: str) -> None:
    class Mine(getattr(ours, name)):  # type: ignore[misc]
        pass

    called: list[Any] = []
    cache = make(name, 2, Mine)
    cache[1] = cache[2] = cache[3] = 1
    original = Mine.popitem

    def popitem(self: Any) -> Any:
        called.append("popitem")
        return original(self)

    Mine.popitem = popitem
    cache[4] = 1
    assert called == ["popitem"]
    del Mine.popitem
    cache[5] = 1
    assert called == ["popitem"]
    Mine.__missing__ = lambda self, key: -key
    assert cache[77] == -77
    assert cache.get(77) is None
    Mine.__getitem__ = lambda self, key: "mine"
    assert cache[5] == cache.get(5) == cache.pop(5) == "mine"


def test_public_classes_are_ordinary_python_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLASSES:
        kind = getattr(ours, name)
        assert issubclass(kind, MutableMapping)
        assert MutableMapping in kind.__mro__
        assert issubclass(kind, ours.Cache)
        assert kind.__module__.startswith("raudo.compat.cachetools")
        monkeypatch.setattr(kind, "__missing__", lambda self, key: "patched")
        assert make(name)[1] == "patched"
    monkeypatch.undo()

    class Both(ours.TTLCache[int, int], ours.LRUCache[int, int]):
        pass

    both = Both(2, 10)
    both.update({1: 1, 2: 2, 3: 3})
    assert list(both) == [2, 3]


@pytest.mark.parametrize("name", CLASSES)
def test_a_getstate_of_its_own_keeps_the_entries(name: str) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        cache = make(name, kind=STATEFUL[name], **PICKLABLE.get(name, {}))
        cache.lock = threading.Lock()
        cache.label = "kept"
        cache[1] = cache
        cache[2] = 2
        twin = pickle.loads(pickle.dumps(cache, protocol))
        assert twin[1] is twin
        assert twin[2] == 2
        assert twin.label == "kept"
        assert not hasattr(twin, "lock")
        assert copy.deepcopy(cache)[2] == 2


def never(key: Any, value: Any, now: float) -> float:
    return now + 1000


PICKLABLE: dict[str, dict[str, Any]] = {"TLRUCache": {"ttu": never}}


class WithoutLock:
    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["lock"]
        return state


class StatefulCache(WithoutLock, ours.Cache[Any, Any]): ...


class StatefulFIFO(WithoutLock, ours.FIFOCache[Any, Any]): ...


class StatefulLFU(WithoutLock, ours.LFUCache[Any, Any]): ...


class StatefulLRU(WithoutLock, ours.LRUCache[Any, Any]): ...


class StatefulRR(WithoutLock, ours.RRCache[Any, Any]): ...


class StatefulTTL(WithoutLock, ours.TTLCache[Any, Any]): ...


class StatefulTLRU(WithoutLock, ours.TLRUCache[Any, Any]): ...


STATEFUL: dict[str, Any] = dict(
    zip(
        CLASSES,
        (
            StatefulCache,
            StatefulFIFO,
            StatefulLFU,
            StatefulLRU,
            StatefulRR,
            StatefulTTL,
            StatefulTLRU,
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("maxsize", [2.5, Fraction(5, 2), math.inf, math.nan, 0.5])
def test_maxsize_may_be_any_number(maxsize: Any) -> None:
    cache = ours.LRUCache[int, int](maxsize)
    if maxsize == 0.5:
        with pytest.raises(ValueError, match="too large"):
            cache[1] = 1
        return
    cache.update((i, i) for i in range(10))
    assert len(cache) == (2 if maxsize < 3 else 10)
    assert cache.maxsize is maxsize


def test_random_choice_evicts_what_cachetools_evicts() -> None:
    theirs: Any = pytest.importorskip("cachetools")
    kept = []
    for library in (ours, theirs):
        random.seed(11)
        cache = library.RRCache(10)
        for i in range(300):
            cache[i] = i
            if i % 7 == 0:
                cache.pop(next(iter(cache)))
        kept.append(list(cache))
    assert kept[0] == kept[1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tlru_items_may_come_to_live_longer_or_shorter() -> None:
    clock = Clock()
    cache = ours.TLRUCache[str, float](9, ttu=lambda key, value, now: now + value, timer=clock)
    cache["a"] = cache["b"] = cache["c"] = 5
    cache["a"] = 9  # longer
    cache["b"] = 2  # shorter
    clock.now = 3
    assert cache.expire() == [("b", 2)]
    clock.now = 6
    assert cache.expire() == [("c", 5)]
    assert list(cache) == ["a"]
    clock.now = 9
    assert "a" not in cache
    assert len(cache) == 0


@pytest.mark.parametrize("name", ["TTLCache", "TLRUCache"])
def test_expire_of_a_subclass_is_called_by_sets(name: str) -> None:
    clock = Clock()
    seen: list[Any] = []

    class Telling(getattr(ours, name)):  # type: ignore[misc]
        def expire(self, time: Any = None) -> Any:
            expired = super().expire(time)
            seen.extend(expired)
            return expired

    settings: dict[str, Any] = {"TTLCache": {"ttl": 2}, "TLRUCache": {"ttu": lambda k, v, t: t + 2}}
    cache = Telling(4, timer=clock, **settings[name])
    cache[1] = "one"
    clock.now = 3
    cache[2] = "two"
    assert seen == [(1, "one")]


def test_a_memo_counts_and_waits_whatever_the_mapping() -> None:
    class Odd(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__(key)

    for cache in ({}, Odd(), ours.LRUCache[Any, Any](8), ours.TTLCache[Any, Any](8, 100)):
        for settings in ({}, {"lock": threading.RLock()}, {"condition": threading.Condition()}):
            cache.clear()
            calls: list[int] = []

            @ours.cached(cache, info=True, **settings)
            def double(x: int, *, calls: list[int] = calls) -> int:
                if x == 13:
                    raise RuntimeError("unlucky")
                calls.append(x)
                return 2 * x

            assert [double(3), double(3), double(4), double(x=4)] == [6, 6, 8, 8]
            assert calls == [3, 4, 4]
            for _ in range(2):
                with pytest.raises(RuntimeError, match="unlucky"):
                    double(13)
            assert double.cache_info()[:2] == (1, 5)
            double.cache_clear()
            assert double.cache_info()[:2] == (0, 0)
            assert len(cache) == 0


def test_a_key_function_of_the_other_kind_is_called_as_it_is() -> None:
    shared: Any = ours.LRUCache(10)

    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        @ours.cachedmethod(lambda self: shared, key=ours.keys.hashkey)
        def add(self, x: int) -> int:
            return self.n + x

    one, ten = Adder(1), Adder(10)
    assert (one.add(1), ten.add(1), one.add(1)) == (2, 11, 2)

    @ours.cached({}, key=ours.keys.methodkey)
    def second(first: Any, x: int) -> int:
        return x

    assert second([], 1) == 1  # the first argument is no part of the key
    assert second({}, 1) == 1


def forge(cache: Any, **parts: Any) -> Any:
    """Return the cache's state with some parts replaced."""
    state = cache.__getstate__()
    names = ("bound", "is_sized", "setting", "timer", "entries", "order", "ages")
    whole = dict(zip(names, state["_raudo_state"], strict=True))
    return {**state, "_raudo_state": tuple({**whole, **parts}.values())}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "order", [[0, 0, 0, 0], [0, 1, 2, 99], [-1, 0, 1, 2], [0, 1, 2, 3, 3], [0, 1, 2, "3"]]
)
def test_state_with_a_forged_order_is_refused(name: str, order: list[Any]) -> None:
    cache = make(name)
    for key in range(4):
        cache[key] = key
    with pytest.raises((ValueError, TypeError)):
        make(name).__setstate__(forge(cache, order=order))


def test_state_of_a_random_cache_whose_order_lacks_an_entry_is_refused() -> None:
    cache = make("RRCache", 40)
    for key in range(30):
        cache[key] = key
    other = make("RRCache")
    with pytest.raises(ValueError, match="wanted an order of 30 entries, got 3"):
        other.__setstate__(forge(cache, order=[29, 28, 27]))
    for key in list(other):
        del other[key]
    check(other)


@pytest.mark.parametrize("name", ["TTLCache", "TLRUCache"])
@pytest.mark.parametrize("timer", [None, 1.0, print])
def test_state_with_a_forged_timer_is_refused(name: str, timer: Any) -> None:
    cache = make(name)
    cache[1] = 1
    with pytest.raises(ValueError, match="wanted a Timer"):
        make(name).__setstate__(forge(cache, timer=timer))
