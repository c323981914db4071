"""`lru_cache` as functools has it; `cached` for functions, methods and coroutines."""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import threading
import weakref
from collections import namedtuple
from dataclasses import dataclass

import pytest

import raudo
from raudo.cache import cached, lru_cache

# --- lru_cache --------------------------------------------------------------------------------


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


# --- cached: methods --------------------------------------------------------------------------


class Owner:
    def __init__(self, base=0):
        self.base = base
        self.calls = 0

    @cached
    def add(self, n):
        self.calls += 1
        return self.base + n

    @cached(maxsize=4)
    def me(self):
        return self

    @cached
    async def add_async(self, n):
        await asyncio.sleep(0)
        self.calls += 1
        return self.base + n

    @classmethod
    @cached
    def of_class(cls, n):
        return cls, n, object()

    @staticmethod
    @cached
    def static(n):
        return n, object()

    @cached
    @classmethod
    def of_class_within(cls, n):
        return cls, n, object()

    @cached
    @staticmethod
    def static_within(n):
        return n, object()

    @cached(key=lambda self, n: (self.base, n))
    def by_base(self, n):
        self.calls += 1
        return self.base * n


class Slotted:
    __slots__ = ("__weakref__", "base")

    @cached
    def get(self, n):
        return self.base, n


class Bare:
    __slots__ = ("base",)

    @cached
    def get(self, n):
        return n

    @cached(key=lambda self, n: n)
    def keyed(self, n):
        return n


class Unhashable:
    __hash__ = None

    def __eq__(self, other):
        return True

    @cached
    def get(self, n):
        return id(self), n


def test_methods_remember_for_each_instance():
    a, b = Owner(1), Owner(2)
    assert [a.add(1), a.add(1), b.add(1), b.add(1)] == [2, 2, 3, 3]
    assert (a.calls, b.calls) == (1, 1)
    assert Owner.add(a, 1) == 2
    assert a.calls == 1
    assert a.add.invalidate(1)
    assert a.add(1) == 2
    assert (a.calls, b.calls) == (2, 1)
    assert a.add.cache_info().currsize == 1
    assert Owner.add.cache_info().currsize >= 2
    assert a.add.__name__ == "add"
    a.add.cache_clear()
    assert a.add.cache_info() == (0, 0, 128, 0)


def test_methods_do_not_keep_their_instance():
    owner = Owner()
    owner.add(1)
    gone = weakref.ref(owner)
    del owner
    assert gone() is None
    owner = Owner()
    owner.me()
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    slotted = Slotted()
    slotted.base = 1
    assert slotted.get(2) == (1, 2)
    gone = weakref.ref(slotted)
    del slotted
    assert gone() is None
    assert Owner().add(3) == 3


def test_methods_of_instances_of_every_kind():
    a, b = Unhashable(), Unhashable()
    assert a.get(1) == (id(a), 1)
    assert b.get(1) == (id(b), 1)
    with pytest.raises(TypeError, match=r"Bare.*__weakref__.*key="):
        Bare().get(1)
    assert Bare().keyed(1) == 1
    assert Owner.of_class(1) is Owner.of_class(1)
    assert Owner().static(1) is Owner.static(1)
    assert Owner.of_class_within(1) is Owner().of_class_within(1)
    assert Owner().static_within(1) is Owner.static_within(1)
    a, b = Owner(7), Owner(7)
    assert a.by_base(2) == b.by_base(2) == 14
    assert (a.calls, b.calls) == (1, 0)


def test_a_copied_instance_remembers_for_itself():
    a = Owner(1)
    a.add(1)
    for b in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        b.base = 10
        assert b.add(1) == 11
        assert a.add(1) == 2


@dataclass(frozen=True)
class Frozen:
    base: int

    @cached
    def add(self, n):
        return self.base + n


def test_a_frozen_dataclass_is_unchanged_to_the_eye():
    a, b = Frozen(1), Frozen(1)
    assert a.add(1) == 2
    assert a == b
    assert repr(a) == repr(b) == "Frozen(base=1)"


# --- cached: coroutines -----------------------------------------------------------------------


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def test_coroutines_are_remembered_and_a_hit_does_not_suspend():
    calls = []

    @cached(maxsize=8)
    async def f(x, y=0):
        calls.append(x)
        await asyncio.sleep(0)
        return x + y

    async def main():
        assert await f(1) == 1
        hit = f(1)
        with pytest.raises(StopIteration) as stop:
            hit.send(None)
        assert stop.value.value == 1
        assert await asyncio.create_task(f(1)) == 1
        assert await f(1, y=2) == await f(1, y=2) == 3
        assert f.invalidate(1)
        assert await f(1) == 1

    run(main())
    assert calls == [1, 1, 1]
    assert asyncio.iscoroutinefunction(f)
    assert f.__name__ == "f"
    assert f.cache_info().hits == 3
    f.cache_clear()
    assert f.cache_info() == (0, 0, 8, 0)


def test_coroutines_run_once_for_all_tasks_and_a_cancelled_first_cancels_nobody():
    calls = []
    release = None

    @cached
    async def f(x):
        calls.append(x)
        await release.wait()
        return object()

    async def main():
        nonlocal release
        release = asyncio.Event()
        tasks = [asyncio.create_task(f(1)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert len(set(map(id, results[1:]))) == 1
        assert await f(1) is results[1]

    run(main())
    assert calls == [1]


def test_coroutines_errors_reach_all_and_are_not_kept():
    calls = []

    @cached
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        raise ValueError(x)

    async def main():
        results = await asyncio.gather(*(f(1) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in results] == [ValueError] * 3
        with pytest.raises(ValueError):
            await f(1)

    run(main())
    assert calls == [1, 1]


def test_coroutines_are_bound_to_no_loop():
    @cached
    async def f(x):
        await asyncio.sleep(0)
        return x

    for n in range(3):
        assert run(f(n % 2)) == n % 2


def test_coroutines_whose_loop_ended_are_called_anew():
    calls = []

    @cached
    async def f(x):
        calls.append(x)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return x

    async def give_up():
        task = asyncio.create_task(f(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    run(give_up())
    assert run(f(1)) == 1
    assert calls == [1, 1]


def test_coroutines_wait_across_threads_and_loops():
    calls, started, go = [], threading.Event(), threading.Event()

    @cached
    async def f(x):
        calls.append(x)
        started.set()
        await asyncio.to_thread(go.wait, 10)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(run(f(1)))) for _ in range(3)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert len(set(map(id, results))) == 1


def test_coroutine_methods_keep_their_instance_while_they_run_and_no_longer():
    async def main():
        assert await Owner(5).add_async(1) == 6
        owner = Owner(1)
        assert await asyncio.gather(owner.add_async(1), owner.add_async(1)) == [2, 2]
        assert owner.calls == 1
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None

    run(main())


def test_without_stampede_protection_each_call_runs():
    calls = []

    @cached(stampede=False)
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        return x

    async def main():
        await asyncio.gather(f(1), f(1))
        await f(1)

    run(main())
    assert calls == [1, 1]


@cached
async def at_module_level(x):
    return x


def test_a_cached_coroutine_function_pickles_and_copies_as_a_function_does():
    for made in (
        pickle.loads(pickle.dumps(at_module_level)),
        copy.copy(at_module_level),
        copy.deepcopy(at_module_level),
    ):
        assert made is at_module_level


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


def test_ignored_parameters_of_a_method():
    class Store:
        @cached(ignore="session", typed=True)
        def get(self, session, n):
            return [session, n]

    a, b = Store(), Store()
    assert a.get(1, 5) is a.get(2, 5) is Store.get(a, 3, 5)
    assert a.get(1, 5) is not a.get(1, 5.0)
    assert a.get(1, 5) is not b.get(1, 5)


@pytest.mark.parametrize(
    ("bad", "kind", "says"),
    [
        ({"ignore": "z"}, ValueError, r"ignore names 'z'.*x, rest, more"),
        ({"ignore": ["x", "rest"]}, ValueError, r"ignore names \*rest"),
        ({"ignore": ["more"]}, ValueError, r"ignore names \*\*more"),
        ({"ignore": 5}, TypeError, "ignore must be names.*5"),
        ({"ignore": ["x", 5]}, TypeError, "ignore must be names.*5"),
        ({"typed": 1}, TypeError, "typed must be True or False.*1"),
        ({"stampede": "no"}, TypeError, "stampede must be True or False.*'no'"),
        ({"key": str, "typed": True}, ValueError, "key.*typed"),
        ({"key": str, "ignore": "x"}, ValueError, "key.*ignore"),
    ],
)
def test_bad_options_are_refused_where_they_stand(bad, kind, says):
    with pytest.raises(kind, match=says):

        @cached(**bad)
        def f(x, *rest, **more):
            pass


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


class Shape:
    @property
    @cached
    def area(self):
        return object()

    def _log(fn):  # noqa: N805
        @functools.wraps(fn)
        def logged(self, *args):
            return fn(self, *args)

        return logged

    @_log
    @cached
    def decorated(self, n):
        return object()

    @cached
    def twice(self, n):
        return object()

    again = twice


class Round(Shape):
    @cached
    def twice(self, n):
        return super().twice(n), self


def test_methods_behind_other_decorators_keep_nobody():
    a, b = Shape(), Shape()
    assert a.area is a.area
    assert a.area is not b.area
    assert a.decorated(1) is a.decorated(1)
    assert a.decorated(1) is not b.decorated(1)
    gone = weakref.ref(a)
    del a
    assert gone() is None


def test_methods_under_two_names_and_overridden():
    a, b = Shape(), Round()
    assert a.twice(1) is a.again(1)
    assert b.twice(1)[0] is Shape.twice(b, 1)
    assert b.twice(1)[1] is b
    with pytest.raises(TypeError, match="self"):
        Shape.twice()


def test_a_bound_method_is_as_one():
    a = Shape()
    bound = a.twice
    assert bound(1) is a.twice(1)
    assert list(map(bound, [1, 1])) == [bound(1), bound(1)]
    assert bound == a.twice
    assert hash(bound) == hash(a.twice)
    assert bound != Shape().twice
    assert bound.__self__ is a
    assert list(inspect.signature(bound).parameters) == ["n"]
    assert pickle.loads(pickle.dumps(Owner().add))(1) == 1
    assert bound.cache is a.twice.cache
    assert bound.cache_key(1) == 1
    assert asyncio.iscoroutinefunction(Owner().add_async)


def test_a_method_of_slots_forgets_those_that_are_gone():
    for n in range(50):  # ids are met again
        slotted = Slotted()
        slotted.base = n
        assert slotted.get(1) == slotted.get(1) == (n, 1)
        del slotted
    assert sum(info.cache_info().currsize for info in Slotted.get.caches()) == 0


def test_a_method_that_drops_its_own_results():
    class Rude:
        @cached
        def get(self, key):
            return object()

    class Key:
        def __hash__(self):
            vars(rude).clear()
            gc.collect()
            return 1

    rude = Rude()
    for _ in range(3):
        assert rude.get(Key()) is not None
    assert rude.get(1) is rude.get(1)


def test_a_method_runs_once_for_eight_threads_that_meet_a_new_instance():
    class Slow:
        @cached
        def get(self, n):
            calls.append(n)
            go.wait(10)
            return object()

    calls, results, go = [], [], threading.Event()
    gate = threading.Barrier(9)
    slow = Slow()

    def ask():
        gate.wait(10)
        results.append(slow.get(1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert len(set(map(id, results))) == 1
