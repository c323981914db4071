"""A user's eviction policy: the contract suite, and how a cache treats one that breaks it."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from typing import Any, ClassVar

import pytest

from core.strategies import COMPILED
from raudo._core.cache import Cache
from raudo.testing.policy import check_policy, check_strategy


class PythonLru:
    """Least recently used, as a user would write it."""

    name: ClassVar[str] = "python-lru"

    def __init__(self) -> None:
        self.order: OrderedDict[int, None] = OrderedDict()

    def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
        self.order[slot] = None

    def on_hit(self, slot: int) -> None:
        self.order.move_to_end(slot)

    def on_remove(self, slot: int) -> None:
        del self.order[slot]

    def victim(self) -> int:
        for slot in self.order:
            return slot
        raise LookupError("empty")

    def admits(self, key_hash: int, victim: int) -> bool:
        return True


class Bypassing(PythonLru):
    """Lets no newcomer stay once the cache is full."""

    name = "bypassing"

    def admits(self, key_hash: int, victim: int) -> bool:
        return False


@pytest.mark.parametrize("make", [PythonLru, Bypassing])
def test_a_sound_policy_passes_the_suite(make: type[PythonLru]) -> None:
    check_policy(make)


@pytest.mark.parametrize("strategy", COMPILED)
def test_compiled_strategies_pass_what_a_cache_can_see_of_the_suite(strategy: str) -> None:
    check_strategy(strategy)


class Forgets(PythonLru):
    def on_remove(self, slot: int) -> None:
        pass


class NoVictim(PythonLru):
    def victim(self) -> int:
        raise LookupError


class Leaks(PythonLru):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
        super().on_insert(slot, key_hash, weight)
        self.seen.append(key_hash)


class Answers(PythonLru):
    def victim(self) -> Any:
        return super().victim() if self.order else None


class Nameless(PythonLru):
    name = ""


class OddAdmits(PythonLru):
    def admits(self, key_hash: int, victim: int) -> Any:
        return None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Forgets, "not in use"),
        (NoVictim, "although"),
        (Leaks, "does not forget"),
        (Answers, "must raise LookupError"),
        (Nameless, "name"),
        (OddAdmits, "admits"),
    ],
)
def test_an_unsound_policy_is_told_what_is_wrong(make: type[PythonLru], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_policy(make)


def test_python_lru_evicts_as_the_compiled_one() -> None:
    compiled: Cache[int, int] = Cache(5, strategy="lru")
    python: Cache[int, int] = Cache(5, strategy=PythonLru())
    for i in range(300):
        key = i * i % 11
        for cache in (compiled, python):
            if cache.get(key) is None:
                cache[key] = i
    assert dict(compiled.items()) == dict(python.items())
    assert compiled.stats()["hits"] == python.stats()["hits"]
    assert python.strategy == "python-lru"
    assert isinstance(python.policy, PythonLru)


def test_a_newcomer_that_is_turned_away_leaves_when_the_next_arrives() -> None:
    heard: list[Any] = []
    cache: Cache[Any, int] = Cache(
        2, strategy=Bypassing(), on_evict=lambda *report: heard.append(report)
    )
    for i, key in enumerate("abcd"):
        cache[key] = i
        assert cache[key] == i
    assert "d" in cache
    assert len(cache) == 2
    assert [reason for _, _, reason in heard] == ["capacity"] * 2
    assert "a" not in cache or "a" in cache


@pytest.mark.parametrize("victim", [99, -1, "x", None, 2**40])
def test_a_victim_that_is_no_entry_is_an_error_that_names_the_policy(victim: Any) -> None:
    class Wrong(PythonLru):
        def victim(self) -> Any:
            return victim

    cache: Cache[int, int] = Cache(2, strategy=Wrong())
    cache[1] = 1
    cache[2] = 2
    with pytest.raises((ValueError, TypeError, OverflowError)):
        cache[3] = 3
    assert dict(cache.items()) == {1: 1, 2: 2}
    assert len(cache) == 2


def test_a_policy_without_a_victim_is_an_error() -> None:
    cache: Cache[int, int] = Cache(1, strategy=NoVictim())
    cache[1] = 1
    with pytest.raises(RuntimeError, match=r"python-lru.*victim"):
        cache[2] = 2
    assert cache == {1: 1}


def test_what_victim_raises_reaches_the_caller_and_changes_nothing() -> None:
    class Fails(PythonLru):
        def victim(self) -> int:
            raise ZeroDivisionError("victim")

    cache: Cache[int, int] = Cache(2, strategy=Fails())
    cache.update({1: 1, 2: 2})
    for call in (lambda: cache.set(3, 3), cache.popitem, lambda: cache.resize(1)):
        with pytest.raises(ZeroDivisionError, match="victim"):
            call()
    assert dict(cache.items()) == {1: 1, 2: 2}


def test_what_on_insert_raises_reaches_the_caller_and_nothing_is_stored() -> None:
    class Fails(PythonLru):
        def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
            raise ZeroDivisionError("insert")

    cache: Cache[int, int] = Cache(2, strategy=Fails())
    with pytest.raises(ZeroDivisionError, match="insert"):
        cache[1] = 1
    assert len(cache) == 0
    assert 1 not in cache


def test_what_notifications_raise_is_unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: heard.append(info.exc_value))

    class Fails(PythonLru):
        def on_hit(self, slot: int) -> None:
            raise ZeroDivisionError("hit")

        def on_remove(self, slot: int) -> None:
            super().on_remove(slot)
            raise ZeroDivisionError("remove")

    cache: Cache[int, int] = Cache(2, strategy=Fails())
    cache[1] = 1
    assert cache[1] == 1
    assert cache.pop(1) == 1
    assert list(map(str, heard)) == ["hit", "remove"]


@pytest.mark.parametrize("method", ["on_insert", "on_hit", "on_remove", "victim", "admits"])
def test_a_policy_that_calls_back_is_an_error_and_not_a_deadlock(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: errors.append(info.exc_value))

    class CallsBack(PythonLru):
        armed = False

    def callback(self: CallsBack, *args: Any) -> Any:
        if self.armed:
            self.armed = False
            cache["called back"] = 1
        return getattr(PythonLru, method)(self, *args)

    setattr(CallsBack, method, callback)
    policy = CallsBack()
    cache: Cache[Any, Any] = Cache(2, strategy=policy)
    cache.update({1: 1, 2: 2})
    for call in (
        lambda: cache.get(1),
        lambda: cache.set(3, 3),
        lambda: cache.set(4, 4),
        lambda: cache.pop(4, None),
    ):
        policy.armed = True
        try:
            call()
        except RuntimeError as error:
            errors.append(error)
    policy.armed = False
    assert any("called back" in str(error) for error in errors)
    assert len(cache) <= 2
    assert len(list(cache)) == len(cache)


def test_one_policy_serves_one_cache() -> None:
    first: Cache[int, int] = Cache(2, strategy="lru")
    with pytest.raises(ValueError, match="another cache"):
        Cache(2, strategy=first.policy)


def test_objects_that_are_no_policy_are_named() -> None:
    with pytest.raises(TypeError, match=r"strategy.*victim"):
        Cache(2, strategy=object())


@pytest.mark.parametrize("make_twin", [Cache.copy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_twin_evicts_by_its_own_slots(make_twin: Any) -> None:
    cache: Cache[int, int] = Cache(8, strategy=PythonLru())
    cache.update((i, i) for i in range(8))
    cache.resize(2)  # those that stay do not lie in the first slots
    twin = make_twin(cache)
    assert dict(twin.items()) == {6: 6, 7: 7}
    twin[8] = 8
    assert dict(twin.items()) == {7: 7, 8: 8}


def test_a_policy_that_cannot_be_emptied_is_named_when_its_cache_is_copied() -> None:
    cache: Cache[int, int] = Cache(8, strategy=Forgets())
    cache.update({1: 1, 2: 2})
    with pytest.raises(ValueError, match=r"python-lru.*removed"):
        cache.copy()
    assert cache == {1: 1, 2: 2}
