"""`cached` for functions, and its options."""

import inspect
import threading
from collections import namedtuple

import pytest

import raudo
from cache.cached_helpers import run
from raudo.cache import cached

# --- cached: functions ------------------------------------------------------------------------


def test_cached_remembers_and_invalidates():
    calls = []

    @cached(maxsize=2)
    def f(x, y=0):
        calls.append((x, y))
        return x + y

    assert [f(1), f(1), f(1, y=2), f(1, y=2)] == [1, 1, 3, 3]
    assert calls == [(1, 0), (1, 2)]
    assert f.invalidate(1) is True
    assert f.invalidate(1) is False
    assert f(1) == 1
    assert len(calls) == 3
    info = f.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (2, 3, 2, 2)
    f.cache_clear()
    assert f.cache_info().currsize == 0


def test_cached_without_parentheses_and_with_none():
    calls = []

    @cached
    def f(x):
        calls.append(x)

    assert f(1) is None
    assert f(1) is None
    assert calls == [1]


def test_cached_takes_a_key():
    @cached(key=lambda text: text.lower())
    def f(text):
        return text

    assert f("A") == "A"
    assert f("a") == "A"
    assert f.invalidate("a")


def test_cached_calls_once_however_many_threads_ask():
    started, go, calls = threading.Event(), threading.Event(), []

    @cached
    def f(x):
        calls.append(x)
        started.set()
        go.wait(10)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(f(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert len(set(map(id, results))) == 1


def test_cached_reentrant_call_does_not_wait_for_itself():
    @cached
    def f(n, deep=True):
        return f(n) if deep and n > 5 else n

    @cached
    def g(n):
        return 0 if len(inspect.stack()) > 60 else g(n)

    assert f(3) == 3
    assert g(1) == 0


def test_cached_error_reaches_all_who_wait_and_is_not_kept():
    started, go, calls, errors = threading.Event(), threading.Event(), [], []

    @cached
    def f(x):
        calls.append(x)
        started.set()
        go.wait(10)
        raise KeyError(x)

    def ask():
        try:
            f(1)
        except KeyError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(calls) == 1 and sum(thread.is_alive() for thread in threads) < 4:
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert len(errors) == 4
    with pytest.raises(KeyError):
        f(1)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"maxsize": 0}, ValueError),
        ({"maxsize": "x"}, TypeError),
        ({"maxsize": True}, TypeError),
        ({"ttl": -1}, ValueError),
        ({"strategy": "best"}, ValueError),
        ({"key": 5}, TypeError),
    ],
)
def test_cached_refuses_bad_arguments_where_it_stands(bad, kind):
    with pytest.raises(kind, match=next(iter(bad))):
        cached(**bad)


def test_cached_refuses_generators():
    def numbers():
        yield 1

    async def more():
        yield 1

    for fn in (numbers, more):
        with pytest.raises(TypeError, match="generator"):
            cached(fn)


def test_recursion_goes_deep():
    @cached
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(250) == 7896325826131730509282738943634332893686268675876375


async def test_a_named_tuple_is_not_several_arguments():
    point = namedtuple("Point", "both")

    @cached
    async def show(*args):
        return args

    assert await show(1, 2) == (1, 2)
    assert await show(point((1, 2))) == (point((1, 2)),)


# --- cached: options, and everything a method can be ---------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_ignored_parameters_make_no_difference(is_async):
    calls = []

    def remember(x, log, *, trace=None, y=0):
        calls.append((x, log, trace, y))
        return x + y

    async def remember_async(x, log, *, trace=None, y=0):
        return remember(x, log, trace=trace, y=y)

    f = cached(ignore=("log", "trace"))(remember_async if is_async else remember)
    call = (lambda *args, **kwargs: run(f(*args, **kwargs))) if is_async else f
    assert call(1, "a") == call(1, "b") == call(1, log="c") == call(1, "d", trace="e") == 1
    assert call(1, "a", y=1) == call(1, trace=1, y=1, log=2) == 2
    assert calls == [(1, "a", None, 0), (1, "a", None, 1)]
    assert f.cache_key(1, "any") == 1
    assert f.invalidate(1, "other")
    assert call(1, "f") == 1
    assert len(calls) == 3


def test_typed_keeps_types_apart():
    calls = []
    for typed, n_calls in ((True, 2), (False, 1)):
        calls.clear()
        f = cached(typed=typed)(lambda x, y: calls.append(x))
        f(1, 2), f(1.0, 2), f(1, 2)
        assert len(calls) == n_calls


def test_a_key_function_is_asked_once_a_call():
    asked = []
    f = cached(key=lambda x: asked.append(x) or x)(lambda x: x)
    f(1), f(1)
    assert asked == [1, 1]


def test_a_ttl_ends_a_result(monkeypatch):
    f = cached(ttl=60)(lambda x: object())
    first = f(1)
    assert f(1) is first
    f.cache.touch(1, 1e-9)
    assert f(1) is not first


@pytest.mark.parametrize("maxsize", [None, 1])
def test_each_strategy_and_size_answers_alike(maxsize):
    for strategy in raudo.CacheStrategy:
        f = cached(maxsize=maxsize, strategy=strategy)(lambda *args, **kwargs: (args, kwargs))
        for n in (1, 2, 1, 3, 1):
            assert f(n) == ((n,), {})
            assert f(n, "x", y=n) == ((n, "x"), {"y": n})
            assert f() == ((), {})
