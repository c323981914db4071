"""The compiled memo: keys looked up before they exist are those that functools would make."""

from __future__ import annotations

import functools
import gc
import itertools
import threading
import weakref
from collections import namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo import Cache, cached, lru_cache
from raudo._core.memo import Memo
from raudo._core.ready import Ready

BOTH: Any = (lru_cache, functools.lru_cache)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 3)
    | st.text(max_size=3)
    | st.floats()
    | st.binary(max_size=3)
)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


@given(st.lists(VALUES, max_size=14), st.dictionaries(st.text(max_size=2), VALUES, max_size=5))
def test_a_key_made_by_parts_is_found_as_a_tuple(args: list[Any], kwargs: dict[str, Any]) -> None:
    """The hash of the parts is the tuple's own, or the cache would not find it."""
    for typed in (False, True):
        cache: Cache[Any, Any] = Cache(10)
        memo = Memo(lambda *args, **kwargs: 1, cache, typed=typed)
        memo(*args, **kwargs)
        key = memo.cache_key(*args, **kwargs)
        assert cache.peek(key) == 1
        memo(*args, **kwargs)
        assert memo.cache_info()[:2] == (1, 1)


@given(st.lists(st.lists(st.sampled_from([0, 1, 1.0, True, "1", (1,), ((),), None]), max_size=3)))
def test_hits_and_misses_are_those_of_functools(calls: list[list[Any]]) -> None:
    for typed in (False, True):
        ours, theirs = (make(maxsize=4, typed=typed)(lambda *args: args) for make in BOTH)
        for args in calls:
            assert repr(ours(*args)) == repr(theirs(*args))
            assert ours.cache_info() == theirs.cache_info()


def test_equal_values_of_other_types_are_kept_apart_as_functools_does() -> None:
    point = namedtuple("point", "x")

    class Text(str):
        pass

    calls: list[Any] = [1, 1.0, True, (1,), point(1), "1", Text("1"), 2**70, float(2**70), b"1"]
    ours, theirs = (make(maxsize=None)(lambda *args: args) for make in BOTH)
    for first, second in itertools.product([*calls, None], repeat=2):
        assert repr(ours(first, second)) == repr(theirs(first, second))
        assert repr(ours(first)) == repr(theirs(first))
        assert ours.cache_info() == theirs.cache_info()


def test_many_arguments_take_the_heap() -> None:
    memo = lru_cache(maxsize=8, typed=True)(lambda *args, **kwargs: (args, kwargs))
    args, kwargs = tuple(range(200)), {f"name{i}": i for i in range(200)}
    assert memo(*args, **kwargs) == (args, kwargs)
    assert memo(*args, **kwargs) is memo(*args, **kwargs)
    assert memo.cache_info().misses == 1


def test_keywords_in_another_order_are_one_key_of_cached_and_two_of_lru_cache() -> None:
    for make, n_misses in ((cached, 1), (lru_cache, 6)):
        memo: Any = make(lambda **kwargs: kwargs)
        for order in itertools.permutations("abc"):
            memo(**{name: name for name in order})
        assert memo.cache_info().misses == n_misses


class Nosy:
    """Equal by number; runs `act` whenever it is hashed or compared."""

    def __init__(self, number: int, act: Any = None) -> None:
        self.number, self.act = number, act

    def __hash__(self) -> int:
        if self.act is not None:
            self.act()
        return self.number

    def __eq__(self, other: object) -> bool:
        if self.act is not None:
            self.act()
        return isinstance(other, Nosy) and self.number == other.number


@pytest.mark.parametrize("make", [lru_cache, cached])
def test_keys_that_clear_call_and_fill_the_memo_meanwhile(make: Any) -> None:
    memo = make(maxsize=4)(lambda *args, **kwargs: args[0].number)
    is_busy = False

    def act() -> None:
        nonlocal is_busy
        if is_busy:
            return
        is_busy = True
        memo(Nosy(7), 1)
        memo.cache_clear()
        for i in range(9):
            memo(Nosy(i), 1)
        is_busy = False

    for i in range(20):
        assert memo(Nosy(i % 5, act), 1) == i % 5
        assert memo(Nosy(i % 5, act), name=Nosy(i % 3, act)) == i % 5
    assert memo.cache_info().currsize <= 4


@pytest.mark.parametrize("make", [lru_cache, cached])
def test_results_whose_end_calls_the_memo(make: Any) -> None:
    memo = make(maxsize=2)(lambda i, more: Last(i))

    class Last:
        def __init__(self, i: int) -> None:
            self.i = i

        def __del__(self) -> None:
            if self.i < 30:
                memo(self.i + 1, "again")

    for i in range(10):
        memo(i, "first")
    memo.cache_clear()
    gc.collect()
    assert memo.cache_info().currsize <= 2


def test_a_failing_hash_comparison_or_key_function_is_passed_on() -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    for make in (lru_cache, cached):
        memo = make(lambda *args, **kwargs: 1)
        with pytest.raises(ZeroDivisionError):
            memo(Nosy(1, fail), 2)
        with pytest.raises(TypeError, match="unhashable"):
            memo(1, [])
        with pytest.raises(TypeError, match="unhashable"):
            memo(1, name=([],))
    with pytest.raises(ZeroDivisionError):
        cached(key=fail)(lambda x: x)(1)


@pytest.mark.parametrize("keyed", [False, True])
def test_a_call_runs_once_for_eight_threads(keyed: bool) -> None:
    started, go, calls = threading.Event(), threading.Event(), []

    @cached(**({"key": lambda *args, **kwargs: (args, tuple(kwargs))} if keyed else {}))
    def load(x: int, y: int, *, z: int = 0) -> object:
        calls.append(x)
        started.set()
        go.wait(10)
        return object()

    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(load(1, 2, z=3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert len(set(map(id, results))) == 1


def test_a_result_that_was_cleared_while_it_was_made_is_not_kept() -> None:
    memo: Any = None

    def load(x: int) -> int:
        memo.cache_clear()
        return x

    memo = cached(load)
    assert memo(1) == 1
    assert memo.cache_info().currsize == 0


def test_the_call_without_arguments_is_forgotten_and_found_again() -> None:
    memo = lru_cache(maxsize=2)(lambda *args: object())
    first = memo()
    assert memo() is first
    memo(1), memo(2), memo(3)
    again = memo()
    assert again is not first
    memo.cache_clear()
    assert memo() is not again


# --- ready ------------------------------------------------------------------------------------


def _value_of(awaitable: Any) -> Any:
    async def wait() -> Any:
        return await awaitable

    try:
        wait().send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("suspended")


@pytest.mark.parametrize("value", [None, 1, (), (1, 2), ValueError("x"), StopIteration(3), [1]])
def test_ready_gives_its_value_whichever_way_it_is_asked(value: object) -> None:
    assert _value_of(Ready(value)) is value
    for ask in (next, lambda ready: ready.__next__(), lambda ready: ready.send(None)):
        with pytest.raises(StopIteration) as caught:
            ask(Ready(value))
        assert caught.value.value is value
    with pytest.raises(TypeError, match="to be awaited"):
        bool(Ready(value))  # `if cache.get(key):` without await
    with pytest.raises(TypeError):
        Ready()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Ready(1, 2)  # type: ignore[call-arg]


def test_an_await_keeps_nothing() -> None:
    class Thing:
        pass

    for n in (1, 20):
        things = [Thing() for _ in range(n)]
        gone = [weakref.ref(thing) for thing in things]
        kept = []
        for thing in things:
            assert _value_of(Ready(thing)) is thing
            try:
                next(Ready(thing))
            except StopIteration as stop:  # several alive at once, each with its own
                kept.append(stop)
        assert [stop.value for stop in kept] == things
        del thing, things, kept
        gc.collect()
        assert [ref() for ref in gone] == [None] * n


def test_what_leads_back_to_an_awaitable_or_its_end_is_collected() -> None:
    class Thing:
        ready: Any = None
        stop: Any = None

    thing = Thing()
    thing.ready = Ready(thing)
    other = Thing()
    with pytest.raises(StopIteration) as caught:
        next(Ready("value"))
    other.stop = caught.value
    other.stop.other = other
    gone = [weakref.ref(thing), weakref.ref(other)]
    del thing, other, caught
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_memo_of_an_instance_called_without_arguments_says_what_is_missing() -> None:
    class Owner:
        @cached(maxsize=4)
        def method(self) -> int:
            return 1

        @cached(maxsize=4, typed=True)
        def typed(self) -> int:
            return 1

    owner = Owner()
    methods: Any = (Owner.method, Owner.typed)
    for method in methods:
        assert method(owner) == method(owner) == 1
        (memo,) = method.caches()[:1]
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
            memo()


@pytest.mark.parametrize("n", [1, 40])  # gathered on the stack, and on the heap
def test_a_hash_that_changes_the_class_leaves_typed_keys_whole(n: int) -> None:
    class Turned:
        def __hash__(self) -> int:
            return 1

    class Turns:
        def __hash__(self) -> int:
            self.__class__ = Turned  # type: ignore[assignment]
            gc.collect()
            return 1

    @lru_cache(maxsize=8, typed=True)
    def count(*args: Any, **kwargs: Any) -> int:
        return len(args) + len(kwargs)

    for _ in range(20):
        kinds = [type("Kind", (Turns,), {}) for _ in range(n)]
        things = [kind() for kind in kinds]
        names = {"named": type("Kind", (Turns,), {})()}
        del kinds
        assert count(*things, **names) == n + 1
    assert count.cache_info().misses == 20
