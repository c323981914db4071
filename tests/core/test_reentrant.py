"""User code that calls back into the cache, from every place where user code runs.

`test_hostile_keys.py` has `__eq__` under each operation; here every place meets every act, under
policies written in Python too, whose lock is held while keys are compared.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from core.strategies import COMPILED
from core.test_hostile_keys import check
from core.test_python_policy import PythonLru
from raudo._core.cache import Cache

pytestmark = pytest.mark.parallel_threads(1)


class Scene:
    """A cache whose user code runs `act` once when armed, in one of the places."""

    def __init__(self, make: Callable[[], Any], place: str, act: Callable[[Any], object]) -> None:
        self.place = place
        self.act = act
        self.is_armed = False
        self.n_acts = 0
        self.now = 0.0
        settings: dict[str, Any] = {}
        if place == "listener":
            settings["on_evict"] = lambda key, value, reason: self.at("listener")
        if place == "weigher":
            settings |= {"weigher": lambda key, value: self.at("weigher"), "max_weight": 8}
        if place == "timer":
            settings |= {"timer": self.tell_time, "ttl": 50.0}
        self.cache: Cache[Any, Any] = Cache(8, strategy=make(), **settings)

    def at(self, place: str) -> int:
        if self.is_armed and place == self.place:
            self.is_armed = False
            self.n_acts += 1
            self.act(self)
        return 1

    def tell_time(self) -> float:
        self.now += 0.001
        self.at("timer")
        return self.now

    def key(self, name: int) -> Key:
        return Key(name, self)

    def copy(self) -> None:
        if isinstance(self.cache.policy, PythonLru):
            return  # a copied policy has a test of its own in test_python_policy.py
        twin = self.cache.copy()
        assert len(list(twin)) == len(twin)

    def load(self, key: Any) -> Value:
        self.at("loader")
        return Value(self)


class Key:
    def __init__(self, name: int, scene: Scene) -> None:
        self.name = name
        self.scene = scene

    def __hash__(self) -> int:
        self.scene.at("hash")
        return 42

    def __eq__(self, other: object) -> bool:
        self.scene.at("eq")
        return isinstance(other, Key) and self.name == other.name

    def __del__(self) -> None:
        self.scene.at("del of a key")


class Value:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __del__(self) -> None:
        self.scene.at("del of a value")


def put(scene: Scene, name: int) -> None:
    scene.cache[scene.key(name)] = Value(scene)


ACTS: dict[str, Callable[[Scene], object]] = {
    "get": lambda s: s.cache.get(s.key(3)),
    "set": lambda s: put(s, 3),
    "set another": lambda s: put(s, 77),
    "evict all": lambda s: s.cache.update((i, i) for i in range(40)),
    "delete": lambda s: s.cache.pop(s.key(3), None),
    "popitem": lambda s: s.cache.popitem() if len(s.cache) else None,
    "clear": lambda s: s.cache.clear(),
    "shrink": lambda s: s.cache.resize(2),
    "grow": lambda s: s.cache.resize(100),
    "load": lambda s: s.cache.get_or_load(s.key(3), lambda key: Value(s)),
    "iterate": lambda s: (list(s.cache.items()), s.copy()),
    "expire": lambda s: (s.cache.touch(s.key(3), 1e-9), s.cache.expire()),
}
CALLS: dict[str, Callable[[Scene], object]] = {
    "get": lambda s: s.cache.get(s.key(3)),
    "contains": lambda s: s.key(3) in s.cache,
    "set": lambda s: put(s, 3),
    "set new": lambda s: put(s, 99),
    "setdefault": lambda s: s.cache.setdefault(s.key(98), Value(s)),
    "set_many": lambda s: s.cache.set_many([(s.key(3), 1), (s.key(97), 2)]),
    "get_many": lambda s: s.cache.get_many([s.key(3), s.key(4), s.key(96)]),
    "pop": lambda s: s.cache.pop(s.key(3), None),
    "popitem": lambda s: s.cache.popitem() if len(s.cache) else None,
    "touch": lambda s: s.cache.touch(s.key(3), 5.0),
    "load": lambda s: s.cache.get_or_load(s.key(95), s.load),
    "shrink": lambda s: s.cache.resize(3),
    "copy": lambda s: s.copy(),
    "expire": lambda s: s.cache.expire(),
    "clear": lambda s: s.cache.clear(),
}
PLACES = ("hash", "eq", "del of a key", "del of a value", "listener", "weigher", "timer", "loader")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "make",
    [*(lambda name=name: name for name in COMPILED), PythonLru],
    ids=[*COMPILED, PythonLru.name],
)
def test_calling_back_is_survived(make: Callable[[], Any], place: str, act: str) -> None:
    n_acts = 0
    for call in CALLS:
        scene = Scene(make, place, ACTS[act])
        for name in range(8):
            put(scene, name)
        scene.is_armed = True
        with contextlib.suppress(KeyError):  # popitem() of what was just cleared
            CALLS[call](scene)
        scene.is_armed = False
        n_acts += scene.n_acts
        check(scene.cache)
    assert n_acts  # the place was met


@pytest.mark.parametrize("strategy", COMPILED)
def test_a_loader_that_sets_its_own_key_has_the_last_word(strategy: str) -> None:
    cache: Cache[str, str] = Cache(4, strategy=strategy)

    def loader(key: str) -> str:
        cache[key] = "set inside"
        return "returned"

    assert cache.get_or_load("key", loader) == "returned"
    assert cache["key"] == "returned"
    assert len(cache) == 1


def test_a_listener_may_load_and_hear_of_it() -> None:
    heard: list[Any] = []

    def listener(key: Any, value: Any, reason: str) -> None:
        heard.append(key)
        if len(heard) < 5:
            cache.get_or_load(("again", len(heard)), lambda _: value)

    cache: Cache[Any, int] = Cache(1, strategy="lru", on_evict=listener)
    cache[0] = 0
    cache[1] = 1
    assert heard == [0, 1, ("again", 1), ("again", 2), ("again", 3)]
    assert list(cache) == [("again", 4)]


def test_pairs_belong_together_though_the_timer_changes_the_order() -> None:
    is_armed = False

    def timer() -> float:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            for name in "abc":
                cache.get(name)
            is_armed = True
        return 1.0

    cache: Cache[str, str] = Cache(4, strategy="lru", ttl=5.0, timer=timer)
    cache.update({"c": "C", "b": "B", "a": "A"})
    is_armed = True
    assert all(value == key.upper() for key, value in cache.items())
    assert all(value == key.upper() for key, value in cache.copy().items())


class Moody:
    """A key whose comparison number `fails_at` raises, counted over all of them."""

    n = fails_at = 0

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        Moody.n += 1
        if Moody.n == Moody.fails_at:
            raise ZeroDivisionError("eq")
        return isinstance(other, Moody) and self.name == other.name


@pytest.mark.parametrize("fails_at", range(1, 5))
def test_eq_that_raises_leaves_no_load_that_others_wait_for(fails_at: int) -> None:
    cache: Cache[Any, int] = Cache(10)
    cache[Moody(0)] = 0
    Moody.n, Moody.fails_at = 0, fails_at
    with contextlib.suppress(ZeroDivisionError):
        cache.get_or_load(Moody(1), lambda key: 5)
    Moody.fails_at = 0
    loaded: list[int] = []
    other = threading.Thread(
        target=lambda: loaded.append(cache.get_or_load(Moody(1), lambda key: 6)), daemon=True
    )
    other.start()
    other.join(20)
    assert loaded in ([5], [6])
