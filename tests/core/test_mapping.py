"""`Cache` is a `MutableMapping`, and says what is wrong with an argument."""

from __future__ import annotations

import collections
import inspect
import math
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any

import pytest

from core.strategies import COMPILED
from raudo._core.cache import Cache
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)  # threads would share the fixture's cache
each_strategy = pytest.mark.parametrize("strategy", COMPILED)


@pytest.fixture(params=COMPILED)
def cache(request: pytest.FixtureRequest) -> Cache[Any, Any]:
    return Cache(5, strategy=request.param)


def test_is_a_mutable_mapping(cache: Cache[Any, Any]) -> None:
    assert isinstance(cache, MutableMapping)
    assert issubclass(Cache, MutableMapping)
    methods = [name for name in dir(MutableMapping) if callable(getattr(MutableMapping, name))]
    assert [name for name in methods if not hasattr(cache, name)] == []


def test_mapping_methods_do_as_a_dict_does(cache: Cache[Any, Any]) -> None:
    model: dict[Any, Any] = {}
    for target in (cache, model):
        target["a"] = 1
        target.update({"b": 2})
        target.update([("c", 3)])
        target.update(d=4)
        target.update({"a": 5}, e=6)
        target.update(collections.ChainMap({"b": 7}))
        assert target.setdefault("a", 9) == 5
        assert target.pop("e") == 6
        assert target.pop("nothing", "default") == "default"
        with pytest.raises(KeyError, match="nothing"):
            target.pop("nothing")
        del target["d"]
        with pytest.raises(KeyError, match="nothing"):
            del target["nothing"]
        with pytest.raises(KeyError, match="nothing"):
            target["nothing"]
        assert target.setdefault("none") is None
        assert target.get("none", 1) is None
        assert "none" in target
    assert dict(cache) == dict(cache.items()) == model
    assert sorted(cache, key=str) == sorted(model, key=str)
    assert len(cache) == len(model)
    assert cache == model
    assert model == cache
    assert cache != {**model, "a": 0}
    assert cache != [("a", 5)]
    assert bool(cache) is True
    cache.clear()
    assert not cache
    assert cache == {}


def test_update_takes_an_object_with_keys(cache: Cache[Any, Any]) -> None:
    class Keyed:
        def keys(self) -> list[int]:
            return [1, 2]

        def __getitem__(self, key: int) -> int:
            return key * 10

    cache.update(Keyed())
    assert cache == {1: 10, 2: 20}
    cache.update()
    with pytest.raises(TypeError):
        cache.update(1)  # type: ignore[call-overload]
    with pytest.raises((TypeError, ValueError)):
        cache.update([1])  # type: ignore[list-item]


def test_update_is_positional_only_so_that_any_name_is_a_key(cache: Cache[Any, Any]) -> None:
    cache.update(self=1, other=2)
    assert cache == {"self": 1, "other": 2}


def test_views_are_views(cache: Cache[Any, Any]) -> None:
    cache.update(a=1, b=2)
    keys, values, items = cache.keys(), cache.values(), cache.items()
    assert isinstance(keys, KeysView)
    assert isinstance(values, ValuesView)
    assert isinstance(items, ItemsView)
    assert keys == {"a", "b"}
    assert set(keys) & {"a"} == {"a"}
    assert sorted(values) == [1, 2]
    assert items == {("a", 1), ("b", 2)}
    assert ("a", 1) in items
    assert ("a", 2) not in items
    assert ("z", 2) not in items
    assert "a" in keys
    assert 2 in values
    assert 3 not in values
    cache["c"] = 3
    assert len(keys) == len(values) == len(items) == 3
    assert "c" in keys


def test_popitem_gives_what_is_evicted_next_and_ends_with_key_error(
    cache: Cache[Any, Any],
) -> None:
    cache.update(a=1, b=2)
    popped = [cache.popitem(), cache.popitem()]
    if cache.strategy == "tinylfu":  # the newcomer has to be used more often to stay
        popped.reverse()
    assert popped == [("a", 1), ("b", 2)]
    with pytest.raises(KeyError):
        cache.popitem()


def test_reading_views_and_comparing_does_not_count_or_touch() -> None:
    cache: Cache[Any, Any] = Cache(2, strategy="lru")
    cache.update(a=1, b=2)
    assert (list(cache.items()), list(cache.values())) == ([("a", 1), ("b", 2)], [1, 2])
    assert cache == {"a": 1, "b": 2}
    assert ("a", 1) in cache.items()
    assert "a" in cache
    assert cache.peek("a") == 1
    stats = cache.stats()
    assert (stats["hits"], stats["misses"]) == (0, 0)
    cache["c"] = 3
    assert list(cache) == ["b", "c"]


def test_none_is_a_value_like_any_other(cache: Cache[Any, Any]) -> None:
    cache[None] = None
    assert None in cache
    assert cache[None] is None
    assert cache.get(None, 1) is None
    assert cache.peek(None, 1) is None
    assert cache.get_many([None, 2]) == {None: None}
    assert cache.pop(None, 1) is None
    assert cache.get_or_load(3, lambda key: None) is None
    assert cache.get_or_load(3, lambda key: 4) is None


def test_arguments_by_position_and_by_name(cache: Cache[Any, Any]) -> None:
    cache.set("a", 1)
    cache.set("b", 2, None)
    cache.set("c", 3, ttl=5.0)
    cache.set(key="d", value=4, ttl=math.inf)
    assert cache.get("a") == 1
    assert cache.get("x") is None
    assert cache.get("x", 7) == 7
    assert cache.get("x", default=7) == 7
    assert cache.get(key="x", default=7) == 7
    assert cache.get_or_load(key="e", loader=str, ttl=1.0) == "e"
    assert cache.touch("e", ttl=2.0) is True
    assert cache.touch(key="e") is True
    cache.set_many({"a": 9}, ttl=1.0)
    cache.set_many([("b", 9)])
    cache.resize(maxsize=3)
    assert cache.maxsize == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get(),
        lambda c: c.get(1, 2, 3),
        lambda c: c.get(1, defualt=2),
        lambda c: c.get(1, key=1),
        lambda c: c.get(1, 2, default=3),
        lambda c: c.set(1),
        lambda c: c.set(1, 2, 3.0, 4),
        lambda c: c.set(1, value=2, key=3),
        lambda c: c.set(1, 2, tl=3),
        lambda c: c.pop(),
        lambda c: c.pop(1, 2, 3),
        lambda c: c.peek(),
        lambda c: c.setdefault(),
        lambda c: c.resize(),
        lambda c: c.get_many(),
        lambda c: c.get_many(1),
        lambda c: c.get_or_load(1),
    ],
)
def test_wrong_calls_raise_type_error(cache: Cache[Any, Any], call: Any) -> None:
    cache.set("x", 1)
    with pytest.raises(TypeError):
        call(cache)
    assert cache == {"x": 1}


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"maxsize": -1}, ValueError, "maxsize.*-1"),
        ({"maxsize": "3"}, TypeError, "maxsize.*'3'"),
        ({"maxsize": 2.5}, TypeError, "maxsize.*2.5"),
        ({"maxsize": True}, TypeError, "maxsize.*True"),
        ({"ttl": 0}, ValueError, "ttl.*0"),
        ({"ttl": -1.0}, ValueError, "ttl.*-1"),
        ({"ttl": math.nan}, ValueError, "ttl.*nan"),
        ({"ttl": "1"}, TypeError, "ttl.*'1'"),
        ({"strategy": "mru"}, ValueError, "strategy.*mru"),
        ({"strategy": 3}, TypeError, "strategy.*3"),
        ({"strategy": None}, TypeError, "strategy.*None"),
        ({"weigher": 3}, TypeError, "weigher.*3"),
        ({"on_evict": 3}, TypeError, "on_evict.*3"),
        ({"timer": 3}, TypeError, "timer.*3"),
        ({"max_weight": 3}, ValueError, "max_weight.*weigher"),
        ({"max_weight": -3, "weigher": lambda k, v: 1}, ValueError, "max_weight.*-3"),
        ({"max_weight": 1.5, "weigher": lambda k, v: 1}, TypeError, "max_weight.*1.5"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], error: type, named: str) -> None:
    with pytest.raises(error, match=named):
        Cache(**{"maxsize": 4, **settings})


def test_settings_are_keywords_only() -> None:
    with pytest.raises(TypeError):
        Cache(4, "lru")  # type: ignore[misc]
    with pytest.raises(TypeError):
        Cache()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="nonsense"):
        Cache(4, nonsense=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf, "1", [], 1j])
def test_bad_ttl_of_one_entry_is_named(cache: Cache[Any, Any], ttl: Any) -> None:
    cache["x"] = 1
    for call in (
        lambda: cache.set("x", 2, ttl),
        lambda: cache.set("x", 2, ttl=ttl),
        lambda: cache.set_many({"x": 2}, ttl=ttl),
        lambda: cache.touch("x", ttl),
        lambda: cache.get_or_load("y", str, ttl),
    ):
        with pytest.raises((TypeError, ValueError), match="ttl"):
            call()
    assert cache == {"x": 1}


@pytest.mark.parametrize("maxsize", [-1, 2.5, "3", True])
def test_bad_resize_is_named(cache: Cache[Any, Any], maxsize: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="maxsize"):
        cache.resize(maxsize)
    assert cache.maxsize == 5


def test_properties_tell_the_settings(cache: Cache[Any, Any]) -> None:
    assert cache.maxsize == 5
    assert cache.max_weight is None
    assert cache.ttl is None
    assert cache.weight == 0
    assert isinstance(cache.strategy, str)
    assert cache.policy is not None
    made: Cache[Any, Any] = Cache(
        None, strategy=cache.strategy, ttl=2.5, weigher=lambda k, v: 3, max_weight=100
    )
    made[1] = 1
    assert (made.maxsize, made.ttl, made.max_weight, made.weight) == (None, 2.5, 100, 3)
    for name in ("maxsize", "ttl", "weight", "max_weight", "strategy", "policy"):
        with pytest.raises(AttributeError):
            setattr(made, name, 1)
    assert "5" in repr(cache)
    assert cache.strategy in repr(cache)


@each_strategy
def test_strategy_is_named_as_it_was_asked_for(strategy: str) -> None:
    assert Cache(4, strategy=strategy).strategy == strategy
    assert Cache(4, strategy=strategy.upper()).strategy == strategy


def test_adaptive_is_the_default() -> None:
    assert Cache(4).strategy == "adaptive"


def test_maxsize_zero_refuses_and_reports_everything() -> None:
    heard: list[Any] = []
    cache: Cache[Any, Any] = Cache(0, on_evict=lambda *report: heard.append(report))
    cache["a"] = 1
    assert cache.setdefault("b", 2) == 2
    assert cache.get_or_load("c", str) == "c"
    assert len(cache) == 0
    assert heard == [("a", 1, "capacity"), ("b", 2, "capacity"), ("c", "c", "capacity")]


@each_strategy
def test_an_unbounded_cache_evicts_nothing(strategy: str) -> None:
    cache: Cache[int, int] = Cache(None, strategy=strategy)
    for i in range(3000):
        cache[i] = i
    assert len(cache) == 3000
    assert cache.stats()["evictions"] == 0
    cache.resize(10)
    assert len(cache) == 10
    assert cache.stats()["evictions"] == 2990


@each_strategy
def test_too_heavy_an_item_is_refused_and_reported(strategy: str) -> None:
    heard: list[Any] = []
    cache: Cache[Any, int] = Cache(
        10,
        strategy=strategy,
        max_weight=10,
        weigher=lambda key, value: value,
        on_evict=lambda *report: heard.append(report),
    )
    cache["a"] = 4
    cache["huge"] = 11
    assert heard == [("huge", 11, "capacity")]
    assert cache == {"a": 4}
    assert cache.weight == 4
    cache["a"] = 12  # the old value must not stay either
    assert "a" not in cache
    assert heard[1:] == [("a", 4, "replaced"), ("a", 12, "capacity")]
    assert cache.weight == 0
    cache["zero"] = 0
    cache["ten"] = 10
    assert cache.weight == 10
    assert len(cache) == 2


@each_strategy
def test_expired_entries_are_never_returned(strategy: str) -> None:
    clock = FakeClock()
    cache: Cache[Any, Any] = Cache(10, strategy=strategy, ttl=2.0, timer=clock)
    cache["default"] = 1
    cache.set("short", 2, 1.0)
    cache.set("forever", 3, math.inf)
    assert cache.expires_in("default") == 2.0
    assert cache.expires_in("forever") is None
    clock.advance(1.0)
    assert "short" not in cache
    assert cache.get("short", "gone") == "gone"
    assert cache.peek("short") is None
    assert cache.get_many(["short", "default"]) == {"default": 1}
    assert cache.pop("short", "gone") == "gone"
    with pytest.raises(KeyError):
        cache.expires_in("short")
    assert cache.touch("short", 5.0) is False
    assert cache.touch("default", 5.0) is True
    assert cache.expires_in("default") == 5.0
    clock.advance(4.9)
    assert list(cache.items()) in (
        [("default", 1), ("forever", 3)],
        [("forever", 3), ("default", 1)],
    )
    clock.advance(0.2)
    assert cache == {"forever": 3}
    assert cache.expire() <= 1
    assert len(cache) == 1


@each_strategy
def test_expiry_is_spread_over_calls_and_expire_does_it_at_once(strategy: str) -> None:
    clock = FakeClock()
    heard: list[Any] = []
    cache: Cache[int, int] = Cache(
        2000, strategy=strategy, timer=clock, on_evict=lambda k, v, reason: heard.append(reason)
    )
    for i in range(1000):
        cache.set(i, i, 1.0)
    clock.advance(2.0)
    cache[-1] = 0
    assert len(heard) < 50
    for i in range(1000):
        cache[-2 - i] = i
    assert heard.count("expired") == 1000
    for i in range(1000):
        cache.set(i, i, 1.0)
    clock.advance(2.0)
    heard.clear()
    assert cache.expire() == heard.count("expired") > 0
    assert cache.expire() == 0


@each_strategy
def test_stats_count_and_reset(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(2, strategy=strategy)
    cache.update(a=1, b=2)
    cache.get("a")
    cache.get("a")
    cache.get("x")
    cache["a"] = 3
    cache["c"] = 4
    stats = cache.stats()
    assert stats["hits"] == 2
    assert stats["misses"] == 1
    assert stats["hit_rate"] == pytest.approx(2 / 3)
    assert (stats["size"], stats["maxsize"], stats["weight"]) == (2, 2, 2)
    assert (stats["inserts"], stats["evictions"], stats["expirations"]) == (3, 1, 0)
    cache.reset_stats()
    stats = cache.stats()
    assert stats["hit_rate"] == 0.0
    assert {stats[name] for name in ("hits", "misses", "inserts", "evictions")} == {0}
    assert stats["size"] == 2


def test_signatures_are_readable() -> None:
    for name in ("get", "set"):
        assert list(inspect.signature(getattr(Cache, name)).parameters)[1] == "key"
        assert getattr(Cache, name).__doc__


def test_is_subscriptable_as_a_type() -> None:
    assert Cache[int, str].__origin__ is Cache
    assert Cache[int, str](3).maxsize == 3


def test_is_not_hashable_and_registers_as_mapping(cache: Cache[Any, Any]) -> None:
    assert isinstance(cache, Mapping)
    with pytest.raises(TypeError):
        hash(cache)
