"""`lru_cache` as functools has it."""

import copy
import functools
import inspect

import pytest

import raudo
from raudo.cache import lru_cache


@pytest.mark.parametrize("maxsize", [None, 0, 1, 3, 128, -5, True])
@pytest.mark.parametrize("typed", [False, True])
def test_lru_cache_counts_as_functools_does(maxsize, typed):
    def f(*args, **kwargs):
        return args, tuple(kwargs.items())

    ours, theirs = (
        make(maxsize=maxsize, typed=typed)(f) for make in (lru_cache, functools.lru_cache)
    )
    calls = [((n % 5,), {}) for n in range(30)] + [((1.5,), {}), (("a",), {}), ((1, 2), {})]
    calls += [((), {"a": 1}), ((), {"a": 1, "b": 2}), ((), {"b": 2, "a": 1}), (((1,),), {})]
    for args, kwargs in calls * 2:
        assert ours(*args, **kwargs) == theirs(*args, **kwargs)
        assert ours.cache_info() == theirs.cache_info()
    assert ours.cache_parameters() == theirs.cache_parameters()
    assert ours.cache_info()._fields == theirs.cache_info()._fields
    ours.cache_clear()
    theirs.cache_clear()
    assert ours.cache_info() == theirs.cache_info()


def test_lru_cache_without_parentheses_keeps_the_function_in_sight():
    @lru_cache
    def f(x: int) -> int:
        """Doc."""
        return x + 1

    assert f(1) == 2
    assert (f.__name__, f.__doc__, f.__wrapped__(3)) == ("f", "Doc.", 4)
    assert f.cache_parameters() == {"maxsize": 128, "typed": False}
    assert raudo.lru_cache is lru_cache
    assert copy.copy(f) is f
    assert inspect.signature(f) == inspect.signature(f.__wrapped__)


def test_lru_cache_refuses_what_functools_refuses():
    for bad in ("x", 1.5, []):
        with pytest.raises(TypeError):
            lru_cache(bad)


def test_lru_cache_on_a_method_and_reentrant():
    class Fib:
        @lru_cache(maxsize=None)
        def fib(self, n):
            return n if n < 2 else self.fib(n - 1) + self.fib(n - 2)

    assert Fib().fib(60) == 1548008755920
    assert Fib.fib.cache_info().misses == 61


def test_lru_cache_does_not_keep_errors():
    calls = []

    @lru_cache
    def f(x):
        calls.append(x)
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            f(1)
    assert calls == [1, 1]
    with pytest.raises(TypeError):
        f([])
