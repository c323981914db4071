"""`cached` for methods: of instances of every kind, none of which it keeps."""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import threading
import weakref
from dataclasses import dataclass

import pytest

from cache.cached_helpers import Owner
from raudo.cache import cached


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
