"""The compiled pool: what comes back, what is refused, and that nothing is kept or lost."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections import Counter, OrderedDict, defaultdict, deque

import pytest

from memory.pool_helpers import Plain, balance
from raudo.errors import PoolError, RaudoError
from raudo.memory import ObjectPool


class Slotted:
    """An instance that none can."""

    __slots__ = ("value",)


CONTAINERS = [
    pytest.param(list, lambda obj: obj.append(1), id="list"),
    pytest.param(dict, lambda obj: obj.update(a=1), id="dict"),
    pytest.param(set, lambda obj: obj.add(1), id="set"),
    pytest.param(bytearray, lambda obj: obj.extend(b"x" * 1000), id="bytearray"),
]


TRACKED = [list, dict, set, bytearray, Plain, Slotted]


@pytest.mark.parametrize("factory", TRACKED)
def test_released_object_is_lent_again(factory):
    pool = ObjectPool(factory)
    first = pool.acquire()
    pool.release(first)
    assert pool.acquire() is first
    stats = pool.stats()
    assert (stats["created"], stats["reused"], stats["in_use"], stats["idle"]) == (1, 1, 1, 0)
    assert stats["hit_rate"] == 0.5


@pytest.mark.parametrize(("factory", "fill"), CONTAINERS)
def test_released_container_comes_back_empty(factory, fill):
    pool = ObjectPool(factory)
    obj = pool.acquire()
    fill(obj)
    pool.release(obj)
    assert len(obj) == 0
    assert pool.acquire() is obj


def test_reset_sees_the_contents_and_the_container_is_emptied_all_the_same():
    seen = []
    pool = ObjectPool(list, reset=lambda obj: seen.append(list(obj)))
    obj = pool.acquire()
    obj.append(1)
    pool.release(obj)
    assert seen == [[1]]
    assert pool.acquire() == []


@pytest.mark.parametrize("factory", TRACKED)
def test_second_release_is_an_error(factory):
    pool = ObjectPool(factory, name="things")
    obj = pool.acquire()
    pool.release(obj)
    with pytest.raises(PoolError, match=r"a \w+ at 0x\w+ was released to the pool 'things' twice"):
        pool.release(obj)
    assert pool.stats()["idle"] == 1


@pytest.mark.parametrize("factory", TRACKED)
def test_release_of_a_stranger_is_an_error(factory):
    pool, other = ObjectPool(factory), ObjectPool(factory)
    mine, theirs = pool.acquire(), other.acquire()
    with pytest.raises(PoolError, match="an unnamed pool, which did not lend it"):
        pool.release(theirs)
    with pytest.raises(PoolError):
        pool.release(factory())
    pool.release(mine)
    other.release(theirs)


def test_pool_error_is_also_a_value_error():
    assert issubclass(PoolError, RaudoError)
    with pytest.raises(ValueError, match="did not lend"):
        ObjectPool(list).release([])


@pytest.mark.parametrize("factory", TRACKED)
def test_address_of_a_dropped_object_is_not_trusted(factory):
    # CPython gives the memory of the last freed list, dict or instance to the next one.
    pool = ObjectPool(factory)
    for _ in range(200):
        pool.acquire()  # dropped at once
        stranger = factory()
        with pytest.raises(PoolError):
            pool.release(stranger)
    assert balance(pool)
    assert pool.stats()["idle"] == 0


def test_dropped_instance_is_not_kept_alive():
    pool = ObjectPool(Plain)
    obj = pool.acquire()
    ref = weakref.ref(obj)
    del obj
    assert ref() is None
    stats = pool.stats()
    assert (stats["lost"], stats["in_use"]) == (1, 0)


def test_instance_dropped_in_a_cycle_is_collected():
    pool = ObjectPool(Plain)
    obj = pool.acquire()
    obj.me = obj
    ref = weakref.ref(obj)
    del obj
    gc.collect()
    assert ref() is None
    assert pool.stats()["lost"] == 1


def test_dropped_list_is_let_go_by_the_next_acquires():
    pool = ObjectPool(list)
    content = Plain()
    ref = weakref.ref(content)
    dropped = pool.acquire()
    dropped.append(content)
    kept = pool.acquire()
    del dropped, content
    assert ref() is not None
    for _ in range(20):
        pool.release(pool.acquire())
    assert ref() is None
    pool.release(kept)
    assert pool.stats()["lost"] == 1
    assert balance(pool)


def test_dropping_every_object_does_not_grow_the_pool():
    pool = ObjectPool(list)
    before = sys.getsizeof(pool)
    for _ in range(10_000):
        pool.acquire()
    assert sys.getsizeof(pool) <= 2 * before
    assert balance(pool)


def test_many_lent_at_once_come_back_in_any_order():
    pool = ObjectPool(list, max_size=5000)
    lent = [pool.acquire() for _ in range(5000)]
    assert len({id(each) for each in lent}) == 5000
    for each in lent[::2] + lent[1::2]:
        pool.release(each)
    assert pool.stats()["idle"] == 5000
    assert pool.trim(10) == 4990
    assert pool.idle == 10
    assert balance(pool)


@pytest.mark.parametrize("max_size", [0, 1, 3])
def test_max_size_bounds_what_is_idle(max_size):
    pool = ObjectPool(Plain, max_size=max_size)
    lent = [pool.acquire() for _ in range(5)]
    refs = [weakref.ref(each) for each in lent]
    while lent:
        pool.release(lent.pop())
    assert pool.idle == max_size
    assert sum(ref() is not None for ref in refs) == max_size
    assert pool.stats()["discarded"] == 5 - max_size


# --- immutable objects ------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "text", 7, 1.5, (), (1,), b"", None, True, frozenset()])
def test_immutable_objects_are_counted(value):
    pool = ObjectPool(lambda: value)
    first, second = pool.acquire(), pool.acquire()
    assert first is second is value
    assert pool.in_use == 2
    pool.release(first)
    pool.release(second)
    assert (pool.in_use, pool.idle) == (0, 2)
    with pytest.raises(PoolError, match="has lent none"):
        pool.release(value)
    assert balance(pool)


def test_changed_string_may_be_released_and_is_not_lent_to_others():
    pool = ObjectPool(lambda: "")
    text = pool.acquire()
    text += "something else"
    pool.release(text)
    assert pool.in_use == 0
    assert pool.acquire() == ""
    assert balance(pool)


def test_immutable_tokens_go_round():
    pool = ObjectPool(iter(range(5000, 6000)).__next__)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    assert pool.acquire() == first == 5000
    assert second == 5001


def test_immutable_stranger_is_refused_by_a_pool_of_lists():
    pool = ObjectPool(list)
    obj = pool.acquire()
    with pytest.raises(PoolError, match="has lent none"):
        pool.release("")
    pool.release(obj)


# --- with -------------------------------------------------------------------------------------


def test_borrow_releases_after_an_error_too():
    pool = ObjectPool(list)
    with pytest.raises(KeyError), pool.borrow() as obj:
        obj.append(1)
        assert pool.in_use == 1
        raise KeyError
    assert (pool.in_use, pool.idle) == (0, 1)
    assert obj == []


def test_lease_serves_one_block_at_a_time():
    pool = ObjectPool(list)
    lease = pool.borrow()
    assert pool.in_use == 0
    with lease as first, pytest.raises(RuntimeError, match="in use"):
        lease.__enter__()
    with lease as second:
        assert second is first


@pytest.mark.parametrize("factory", [list, str])
def test_lease_gives_back_once(factory):
    pool = ObjectPool(factory)
    kept = pool.acquire()
    lease = pool.borrow()
    with lease:
        pass
    with pytest.raises(RuntimeError, match="back already"):
        lease.__exit__(None, None, None)
    assert pool.in_use == 1
    pool.release(kept)


def test_borrow_whose_factory_fails_has_nothing_to_release():
    def factory():
        raise OSError

    pool = ObjectPool(factory)
    with pytest.raises(OSError), pool.borrow():
        pass
    assert pool.in_use == 0


# --- the object itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((7,), TypeError, "factory is 7"),
        ((list, "many"), TypeError, "max_size is 'many'"),
        ((list, True), TypeError, "max_size is True"),
        ((list, -1), ValueError, "max_size is -1"),
        ((list, 1, 3), TypeError, "reset is 3"),
        ((list, 1, None, 3), TypeError, "name is 3"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ObjectPool(*arguments)


def test_negative_trim_is_an_error():
    with pytest.raises(ValueError, match="keep is -1"):
        ObjectPool(list).trim(-1)


def test_pool_describes_itself():
    pool = ObjectPool(list, 5, None, "lists")
    lent = pool.acquire()
    assert repr(pool) == "<ObjectPool 'lists': 1 in use, 0 idle>"
    assert (pool.name, pool.max_size, pool.factory, pool.reset) == ("lists", 5, list, None)
    assert ObjectPool[int].__origin__ is ObjectPool
    pool.release(lent)


def test_pool_is_neither_copied_nor_pickled():
    pool = ObjectPool(list)
    with pytest.raises(TypeError):
        pickle.dumps(pool)
    with pytest.raises(TypeError):
        copy.copy(pool)


class Keeper(ObjectPool):
    """A subclass whose factory is its own method: a cycle through the pool."""

    def __init__(self):
        super().__init__(self.make)

    def make(self):
        return Plain()


@pytest.mark.parametrize("lent_as", ["idle", "lent"])
@pytest.mark.parametrize("factory", [Plain, list])
def test_cycle_through_the_pool_is_collected(factory, lent_as):
    pool = ObjectPool(factory, reset=lambda obj: obj.__init__())
    pool_ref = weakref.ref(pool)
    obj = pool.acquire()
    if lent_as == "idle":
        holder = Plain()
        holder.pool = pool
        pool2 = ObjectPool(lambda: holder)
        pool2.acquire()
        pool2.release(holder)
        holder.other = pool2  # holder -> pool2 -> (idle) holder
        ref = weakref.ref(holder)
        pool.release(obj)
        del holder, pool2
    else:
        ref = pool_ref
        if factory is list:
            obj.append(pool)
        else:
            obj.pool = pool
    del pool, obj
    gc.collect()
    assert ref() is None
    assert pool_ref() is None


def test_subclass_whose_factory_is_its_own_method_is_collected():
    pool = Keeper()
    pool.release(pool.acquire())
    ref = weakref.ref(pool)
    del pool
    gc.collect()
    assert ref() is None


def test_pool_lets_its_objects_go_with_it():
    pool = ObjectPool(Plain)
    idle, lent = pool.acquire(), pool.acquire()
    pool.release(idle)
    refs = weakref.ref(idle), weakref.ref(lent)
    del idle, pool
    assert refs[0]() is None
    assert refs[1]() is lent


def test_references_are_balanced():
    obj = []
    made = iter([obj])
    pool = ObjectPool(made.__next__)
    before = sys.getrefcount(obj)
    for _ in range(1000):
        pool.release(pool.acquire())
    assert sys.getrefcount(obj) == before + 1
    pool.trim()
    assert sys.getrefcount(obj) == before


@pytest.mark.parametrize("factory", [list, Plain, lambda: ""])
def test_threads_share_a_pool(factory):
    pool = ObjectPool(factory, max_size=4)
    held: set[int] = set()
    errors: list[BaseException] = []

    def work():
        try:
            for round_ in range(2000):
                with pool.borrow() as obj:
                    if type(obj) is not str:
                        assert id(obj) not in held
                        held.add(id(obj))
                        held.discard(id(obj))
                if round_ % 50 == 0:
                    pool.trim(1)
                    pool.acquire()  # dropped
        except BaseException as error:
            errors.append(error)

    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    assert not errors
    assert balance(pool)
    if type(factory()) is not str:
        assert pool.stats()["in_use"] == 0


def test_acquire_takes_no_arguments():
    pool = ObjectPool(list)
    with pytest.raises(TypeError, match="takes no arguments"):
        pool.acquire(1)
    with pytest.raises(TypeError):
        pool.acquire(timeout=1)
    assert pool.stats()["created"] == 0


@pytest.mark.parametrize(
    "factory", [deque, Counter, OrderedDict, lambda: defaultdict(list), type("Bag", (dict,), {})]
)
def test_containers_of_other_classes_come_back_empty(factory):
    pool = ObjectPool(factory)
    with pool.borrow() as obj:
        if isinstance(obj, deque):
            obj.append(1)
        else:
            obj["a"] = 1
    assert not obj
    assert pool.acquire() is obj


def test_a_reset_alone_decides_on_containers_of_other_classes():
    pool = ObjectPool(deque, reset=lambda obj: obj.append("new"))
    with pool.borrow():
        pass
    assert list(pool.acquire()) == ["new"]
