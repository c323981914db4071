"""Keys, values, listeners, loaders, weighers and timers that do what they should not."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from core.strategies import COMPILED
from raudo._core.cache import Cache

pytestmark = pytest.mark.parametrize("strategy", COMPILED)


class Key:
    """Equal by `name`, all of one hash, and runs `act` whenever it is compared."""

    act: Callable[[], object] | None = None

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 42

    def __eq__(self, other: object) -> bool:
        act, Key.act = Key.act, None
        if act is not None:
            act()
        return isinstance(other, Key) and self.name == other.name


@pytest.fixture(autouse=True)
def _harmless() -> Any:
    yield
    Key.act = None


def filled(strategy: str, n: int = 8, **settings: Any) -> Cache[Any, Any]:
    cache: Cache[Any, Any] = Cache(n, strategy=strategy, **settings)
    for name in range(n):
        cache[Key(name)] = name
    return cache


ACTS: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "clear": lambda cache: cache.clear(),
    "shrink": lambda cache: cache.resize(1),
    "grow": lambda cache: (cache.resize(500), cache.update((i, i) for i in range(400))),
    "evict": lambda cache: cache.update((i, i) for i in range(50)),
    "delete": lambda cache: cache.pop(Key(3), None),
    "overwrite": lambda cache: cache.set(Key(3), "other"),
    "pop": lambda cache: cache.popitem() if len(cache) else None,
    "iterate": lambda cache: (list(cache), list(cache.items()), cache.copy()),
    "collect": lambda cache: gc.collect(0),
}
CALLS: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "get": lambda cache: cache.get(Key(3)),
    "subscript": lambda cache: cache[Key(3)],
    "peek": lambda cache: cache.peek(Key(3)),
    "contains": lambda cache: Key(3) in cache,
    "set": lambda cache: cache.set(Key(3), "new"),
    "set_new": lambda cache: cache.set(Key(99), "new"),
    "delete": lambda cache: cache.__delitem__(Key(3)),
    "pop": lambda cache: cache.pop(Key(3), None),
    "setdefault": lambda cache: cache.setdefault(Key(3), 1),
    "touch": lambda cache: cache.touch(Key(3), 5.0),
    "expires_in": lambda cache: cache.expires_in(Key(3)),
    "get_many": lambda cache: cache.get_many([Key(3), Key(5)]),
    "get_or_load": lambda cache: cache.get_or_load(Key(3), lambda key: "loaded"),
}


def check(cache: Cache[Any, Any]) -> None:
    """The books agree with each other, and the cache still works."""
    keys = list(cache)
    assert len(keys) == len(cache) == len(list(cache.values()))
    assert cache.maxsize is None or len(cache) <= cache.maxsize
    assert cache.weight == len(cache)
    for key in keys:
        assert key in cache
        assert cache.peek(key, check) is not check
    stats = cache.stats()
    assert stats["size"] == len(cache)
    left = stats["evictions"] + stats["expirations"] + stats["removals"]
    assert stats["inserts"] == len(cache) + left
    for i in range(1000, 1020):
        cache[i] = i
        assert cache[i] == i


@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("call", CALLS)
def test_eq_that_changes_the_cache_is_survived(strategy: str, call: str, act: str) -> None:
    for nth in range(1, 4):  # the first, second and third comparison
        cache = filled(strategy)
        left = nth

        def counting(cache: Cache[Any, Any] = cache) -> None:
            nonlocal left
            left -= 1
            if left:
                Key.act = counting
            else:
                ACTS[act](cache)

        Key.act = counting
        with contextlib.suppress(KeyError):
            CALLS[call](cache)
        Key.act = None
        check(cache)


@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("call", CALLS)
def test_eq_that_raises_passes_its_error_on_and_changes_nothing(strategy: str, call: str) -> None:
    cache = filled(strategy)
    before = dict(cache.items())

    def fail() -> None:
        raise ZeroDivisionError("eq")

    Key.act = fail
    with pytest.raises(ZeroDivisionError, match="eq"):
        CALLS[call](cache)
    assert dict(cache.items()) == before
    check(cache)


class Truthless:
    def __bool__(self) -> bool:
        raise ZeroDivisionError("bool")


class OddEq:
    """Answers a comparison with something that is not a bool."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> Any:
        return self.answer


def test_eq_that_returns_odd_objects_counts_by_truth(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(4, strategy=strategy)
    cache[OddEq([1])] = "yes"
    assert cache.get(7) == "yes"
    cache.clear()
    cache[OddEq("")] = "no"
    assert cache.get(7) is None
    cache.clear()
    cache[OddEq(NotImplemented)] = "identity"
    assert cache.get(7) is None
    cache.clear()
    cache[OddEq(Truthless())] = "raises"
    with pytest.raises(ZeroDivisionError, match="bool"):
        cache.get(7)


class HashFails:
    def __hash__(self) -> int:
        raise ZeroDivisionError("hash")


@pytest.mark.parametrize("key", [HashFails(), [], {}, set(), ([],)], ids=repr)
def test_unhashable_keys_raise_what_hash_raises(strategy: str, key: Any) -> None:
    cache: Cache[Any, Any] = Cache(4, strategy=strategy)
    cache[1] = 1
    kind = ZeroDivisionError if isinstance(key, HashFails) else TypeError
    for call in (
        lambda: cache[key],
        lambda: cache.get(key),
        lambda: cache.peek(key),
        lambda: key in cache,
        lambda: cache.set(key, 1),
        lambda: cache.__setitem__(key, 1),
        lambda: cache.__delitem__(key),
        lambda: cache.pop(key, None),
        lambda: cache.setdefault(key, 1),
        lambda: cache.touch(key),
        lambda: cache.expires_in(key),
        lambda: cache.get_many([key]),
        lambda: cache.set_many([(key, 1)]),
        lambda: cache.get_or_load(key, lambda _: 1),
    ):
        with pytest.raises(kind):
            call()
    assert dict(cache.items()) == {1: 1}


def test_hash_that_uses_the_cache_is_survived(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(4, strategy=strategy)

    class Reentrant:
        def __hash__(self) -> int:
            cache.clear()
            cache.update((i, i) for i in range(20))
            return 5

    key = Reentrant()
    cache[key] = "value"
    assert cache.get(key) is None  # its own hash swept it away
    check(cache)


def test_keys_equal_across_types_are_one_key(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(8, strategy=strategy)
    first = 1
    cache[first] = "int"
    assert cache[1.0] == cache[True] == "int"
    cache[1.0] = "float"
    assert len(cache) == 1
    assert cache[1] == "float"
    assert next(iter(cache)) is first  # as in a dict, the first key object stays
    cache[0] = "zero"
    assert cache[False] == cache[-0.0] == "zero"
    cache[-1] = "minus"  # hash(-1) is -2
    cache[-2] = "two"
    assert cache[-1] == cache[-1.0] == "minus"
    assert cache[-2] == "two"
    cache[2**61 - 1] = "modulus"  # hash(2**61 - 1) is 0
    assert cache[0] == "zero"
    cache[2**70] = "large"
    assert cache[float(2**70)] == "large"


def test_nan_is_found_by_identity(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(8, strategy=strategy)
    one, other = math.nan, float("nan")
    cache[one] = 1
    assert cache.get(one) == 1
    assert cache.get(other) is None
    cache[other] = 2
    assert len(cache) == 2
    assert cache[one] == 1
    assert cache[other] == 2


def test_str_subclasses_and_int_subclasses_are_asked(strategy: str) -> None:
    class Loose(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash(self.lower())

        def __eq__(self, other: object) -> bool:
            return isinstance(other, str) and self.lower() == other.lower()

    class Num(int):
        pass

    cache: Cache[Any, Any] = Cache(8, strategy=strategy)
    cache["name"] = 1
    assert cache.get(Loose("NAME")) == 1
    cache[Loose("Key")] = 2
    assert cache.get("key") == 2
    cache[Num(5)] = 3
    assert cache[5] == 3
    cache[5] = 4
    assert cache[Num(5)] == 4
    assert len(cache) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda i: i << 20,
        lambda i: i << 32,
        lambda i: i * 65537,
        lambda i: -i,
        lambda i: i * (2**61 - 1) + i,
        lambda i: 10**40 + i,
        lambda i: (i % 316, i // 316),
        lambda i: i / 7,
        lambda i: i * 4096,
        lambda i: i * (1 << 17) + (i & 1),
    ],
    ids=["shl20", "shl32", "65537", "negative", "mod", "huge", "pairs", "float", "page", "shl17"],
)
def test_keys_in_strides_do_not_degrade(strategy: str, make: Callable[[int], Any]) -> None:
    # Quadratic probing runs would take minutes; the watchdog ends the test then.
    n = 20_000
    cache: Cache[Any, int] = Cache(n, strategy=strategy)
    for i in range(n + n // 4):
        cache[make(i)] = i
    assert len(cache) == n
    assert sum(cache.get(make(i)) == i for i in range(n + n // 4)) == n
    for i in range(n + n // 4):
        cache.pop(make(i), None)
    assert len(cache) == 0


def test_all_keys_of_one_hash_work(strategy: str) -> None:
    cache: Cache[Any, int] = Cache(50, strategy=strategy)
    for i in range(100):
        cache[Key(i)] = i
        assert cache[Key(i)] == i
    assert len(cache) == 50
    for i in range(100):
        cache.pop(Key(i), None)
    assert len(cache) == 0


@pytest.mark.parallel_threads(1)
def test_values_whose_del_uses_the_cache_are_survived(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(5, strategy=strategy)
    n_dropped = 0

    class Value:
        def __del__(self) -> None:
            nonlocal n_dropped
            n_dropped += 1
            if n_dropped % 3 == 0:
                cache.clear()
            elif n_dropped % 3 == 1:
                cache[("again", n_dropped)] = None
                cache.pop(n_dropped, None)

    for i in range(200):
        cache[i % 9] = Value()
        if i % 7 == 0:
            cache.pop(i % 9, None)
        if i % 31 == 0:
            cache.resize(2 + i % 5)
    cache.resize(5)
    cache.clear()
    check(cache)


@pytest.mark.parallel_threads(1)
def test_listener_that_uses_the_cache_is_survived(strategy: str) -> None:
    depth = 0

    def listener(key: Any, value: Any, reason: str) -> None:
        nonlocal depth
        assert key not in cache or cache.peek(key) is not value  # it is gone by now
        if depth < 3:
            depth += 1
            cache[("heard", key)] = value
            cache.pop(("heard", key), None)
            cache.get(key)
            depth -= 1

    cache: Cache[Any, Any] = Cache(4, strategy=strategy, on_evict=listener)
    for i in range(100):
        cache[i % 11] = object()
        if i % 10 == 0:
            cache.clear()
    depth = 3
    check(cache)


def test_listener_that_raises_is_reported_not_passed_on(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: heard.append(info.exc_value))

    def listener(key: Any, value: Any, reason: str) -> None:
        raise ZeroDivisionError(reason)

    cache: Cache[Any, Any] = Cache(2, strategy=strategy, on_evict=listener)
    for i in range(4):
        cache[i] = i
    last = list(cache)[-1]
    cache[last] = "new"
    assert cache.pop(last) == "new"
    assert sorted(map(str, heard)) == ["capacity", "capacity", "removed", "replaced"]
    assert len(cache) == 1


def test_weigher_that_raises_leaves_the_cache_as_it_was(strategy: str) -> None:
    def weigher(key: Any, value: Any) -> int:
        if value == "bad":
            raise ZeroDivisionError("weigher")
        return 2

    cache: Cache[Any, Any] = Cache(9, strategy=strategy, weigher=weigher, max_weight=10)
    cache["a"] = 1
    for key in ("a", "b"):
        with pytest.raises(ZeroDivisionError, match="weigher"):
            cache[key] = "bad"
    assert dict(cache.items()) == {"a": 1}
    assert cache.weight == 2


@pytest.mark.parametrize("answer", [-1, 2**32, 1.5, "3", None, True])
def test_weigher_that_answers_oddly_is_named(strategy: str, answer: Any) -> None:
    cache: Cache[Any, Any] = Cache(9, strategy=strategy, weigher=lambda k, v: answer, max_weight=10)
    with pytest.raises((TypeError, ValueError), match="weigher"):
        cache[1] = 1
    assert len(cache) == 0


@pytest.mark.parallel_threads(1)
def test_weigher_that_uses_the_cache_is_survived(strategy: str) -> None:
    def weigher(key: Any, value: Any) -> int:
        if key == "outer":
            cache.clear()
            for i in range(30):
                cache[i] = i
        return 1

    cache: Cache[Any, Any] = Cache(9, strategy=strategy, weigher=weigher, max_weight=5)
    for _ in range(5):
        cache["outer"] = 1
        assert cache["outer"] == 1
    check(cache)
    assert cache.weight <= 5


def test_timer_that_raises_passes_its_error_on(strategy: str) -> None:
    works = True

    def timer() -> float:
        if not works:
            raise ZeroDivisionError("timer")
        return 1.0

    cache: Cache[Any, Any] = Cache(4, strategy=strategy, ttl=10.0, timer=timer)
    cache[1] = "one"
    works = False
    for call in (lambda: cache[1], lambda: cache.set(2, 2), lambda: cache.pop(1), list):
        with pytest.raises(ZeroDivisionError, match="timer"):
            call(cache) if call is list else call()
    works = True
    assert cache[1] == "one"
    assert len(cache) == 1


@pytest.mark.parallel_threads(1)
def test_timer_that_uses_the_cache_is_survived(strategy: str) -> None:
    busy = False
    ticks = 0.0

    def timer() -> float:
        nonlocal busy, ticks
        ticks += 1.0
        if not busy and ticks % 3 == 0:
            busy = True
            cache.clear()
            cache.update((i, i) for i in range(10))
            busy = False
        return ticks

    cache: Cache[Any, Any] = Cache(4, strategy=strategy, ttl=7.0, timer=timer)
    for i in range(200):
        cache[i % 9] = i
        cache.get((i * 3) % 9)
        cache.pop(i % 5, None)
        list(cache)
        cache.touch(i % 9, 3.0)
    assert len(cache) <= 4


@pytest.mark.parallel_threads(1)
def test_eviction_during_iteration_is_survived(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(10, strategy=strategy)
    cache.update((i, [i]) for i in range(10))
    for view in (cache, cache.keys(), cache.values(), cache.items()):
        seen = 0
        for _ in view:
            seen += 1
            cache[("new", seen)] = [seen]
            cache.popitem()
            cache.get(3)
        assert seen == len(list(cache)) + (10 - len(cache)) or seen <= 10
        cache.clear()
        cache.update((i, [i]) for i in range(10))


@pytest.mark.parallel_threads(1)
def test_update_from_an_iterable_that_changes_the_cache(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(6, strategy=strategy)

    def pairs() -> Any:
        for i in range(30):
            if i % 5 == 0:
                cache.clear()
            yield i, i
        raise ZeroDivisionError("pairs")

    for call in (cache.update, cache.set_many):
        with pytest.raises(ZeroDivisionError, match="pairs"):
            call(pairs())
        check(cache)
        cache.clear()
        cache.reset_stats()


def test_a_load_whose_key_fails_to_compare_at_its_end_answers_nobody_later(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(8, strategy=strategy)

    def fail() -> None:
        raise ZeroDivisionError

    def load(key: Key) -> str:
        Key.act = fail
        return "first"

    with pytest.raises(ZeroDivisionError):  # the load of 1 is found behind that of 0
        cache.get_or_load(Key(0), lambda _: cache.get_or_load(Key(1), load))
    cache.clear()
    assert cache.get_or_load(Key(1), lambda _: "second") == "second"
    assert cache.get_or_load(Key(1), lambda _: "third") == "second"
