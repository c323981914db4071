"""Compaction: equal, of the same types, in the same order, and smaller."""

from __future__ import annotations

import copy
import json
import math
import sys
import tracemalloc

import pytest
from hypothesis import given

from raudo.memory import MemoryOptimizer, compact
from reference.nested_data import anything, spell


def rebuild(obj):
    """Return an equal object that shares as little as possible."""
    return json.loads(json.dumps(obj))


@given(anything)
def test_result_is_equal_type_for_type(obj):
    before = spell(obj)
    result = compact(obj, in_place=True)
    assert spell(result) == before
    if isinstance(obj, (list, dict, set)):
        assert result is obj
    assert spell(compact(result, in_place=True)) == before


def test_equal_values_become_one_object():
    rows = rebuild([{"city": "a long city", "at": [1.25, 5000], "n": 2.5} for _ in range(3)])
    assert rows[0]["city"] is not rows[1]["city"]
    compact(rows, in_place=True)
    assert rows[0]["city"] is rows[1]["city"] is rows[2]["city"]
    assert rows[0]["at"][0] is rows[2]["at"][0]
    assert rows[0]["at"][1] is rows[2]["at"][1]
    assert rows[0]["at"] is not rows[1]["at"]


def test_equal_tuples_and_sets_of_equal_items_become_one():
    def make():
        return (["x"][0] * 300, (10**20, frozenset([10**21, "y" * 300])))

    rows = [make(), make()]
    assert rows[0] is not rows[1]
    compact(rows, in_place=True)
    assert rows[0] is rows[1]
    assert rows == [make(), make()]


def test_values_that_only_compare_equal_stay_apart():
    obj = [1, 1.0, True, (1,), (1.0,), (True,), 0.0, -0.0, {1: "a"}, {1.0: "a"}, {True: "a"}]
    before = spell(obj)
    assert spell(compact(obj, in_place=True)) == before
    assert math.copysign(1, obj[7]) == -1


@pytest.mark.parametrize("make", [list, set, lambda n: dict.fromkeys(n, 0)])
def test_container_is_cut_to_size(make):
    obj = make(range(10_000))
    for i in range(10_000, 10, -1):
        obj.pop() if not isinstance(obj, dict) else obj.pop(i - 1)
    if isinstance(obj, list):
        obj.extend(range(1000))
        del obj[600:]
    expected, before = copy.copy(obj), sys.getsizeof(obj)
    assert compact(obj, in_place=True) is obj
    assert obj == expected
    assert sys.getsizeof(obj) < before


def test_bytearray_is_cut_to_size_unless_it_is_looked_at():
    data = bytearray(1000)
    del data[600:]
    with memoryview(data):
        compact(data, in_place=True)
        assert data.__alloc__() == 1001
    compact(data, in_place=True)
    assert data.__alloc__() == 601
    assert data == bytes(600)


def test_shared_and_circular_containers_stay_so():
    shared = ["x"]
    obj = {"a": shared, "b": shared}
    obj["self"] = obj
    compact(obj, in_place=True)
    assert obj["a"] is obj["b"] is shared
    assert obj["self"] is obj


def test_order_is_kept():
    obj = {str(i): i for i in range(100, 0, -1)}
    for i in range(90):
        del obj[str(i + 1)]
    keys = list(obj)
    assert list(compact(obj, in_place=True)) == keys


class Untouched(list):
    pass


def test_other_classes_are_left_as_they_are():
    inner = ["a b", "a b".replace(" ", " ")]
    obj = Untouched([inner, inner])
    assert compact([obj], in_place=True)[0] is obj
    assert obj[0] is inner


def test_unsteady_keys_do_not_lose_entries():
    class Unsteady:
        def __init__(self):
            self.hash = 1

        def __hash__(self):
            return self.hash

        def __eq__(self, other):
            return self.hash == other.hash == 2

    keys = [Unsteady(), Unsteady()]
    obj, other = dict.fromkeys(keys, 1), set(keys)
    for key in keys:
        key.hash = 2
    assert len(compact(obj, in_place=True)) == len(compact(other, in_place=True)) == 2


def test_deep_nesting_does_not_exhaust_the_stack():
    obj: list = []
    for _ in range(100_000):
        obj = [obj]
    assert compact(obj, in_place=True) is obj
    while obj:  # a destructor of this depth would be slow in debug builds
        obj = obj.pop()


@pytest.mark.parallel_threads(1)  # tracemalloc sees every thread
def test_parsed_records_take_less_memory():
    text = json.dumps(
        [{"city": f"city {i % 50}", "tags": ["a b", f"tag {i % 10}"], "v": i % 7 / 2}
         for i in range(3000)]
    )  # fmt: skip
    tracemalloc.start()
    try:
        rows = json.loads(text)
        before, _ = tracemalloc.get_traced_memory()
        compact(rows, in_place=True)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == json.loads(text)
    assert after < 0.75 * before


def test_optimizer_compacts_too():
    data = [["a"], ["b"]]
    assert MemoryOptimizer(auto_optimize=False).compact(data, in_place=True) is data
