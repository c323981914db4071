"""A smaller equivalent: equal, of the same types, in the same order, and the old one untouched."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raudo.memory import Numbers, Records, compact, compaction, deep_size
from reference.nested_data import anything, spell

N = 40


def people(n=N):
    return [
        {
            "id": i,
            "city": "Lima" if i % 3 else "Oslo",
            "score": i / 7,
            "is_new": i % 2 == 0,
            "x": None,
        }
        for i in range(n)
    ]


@given(anything)
def test_result_is_equal_type_for_type_and_the_old_one_untouched(obj):
    before = spell(obj)
    result = compact(obj)
    assert spell(result) == spell(obj) == before
    assert spell(compact(result)) == before


values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text("ab", max_size=2)
)


@given(
    st.lists(
        st.tuples(values, st.integers(-300, 300), st.booleans(), values), min_size=16, max_size=40
    ),
    st.randoms(use_true_random=False),
)
def test_any_records_come_back_as_they_were(rows, chance):
    table = [dict(zip("abcd", row, strict=True)) for row in rows]
    small = compact(table)
    assert isinstance(small, Records)
    assert spell(small) == spell(table)
    assert small == table
    assert table == small
    at = chance.randrange(len(table))
    assert spell(small[at]) == spell(table[at])


@given(st.lists(values, min_size=16, max_size=40) | st.lists(st.floats(), min_size=16, max_size=40))
def test_any_numbers_come_back_as_they_were(items):
    small = compact(items)
    assert spell(small) == spell(items)
    assert small == items


def test_half_of_small_records_and_more_is_saved():
    report = compaction(people(5000))
    assert report.value == people(5000)
    assert report.after < 0.5 * report.before
    assert report.before == deep_size(people(5000))
    assert report.resident_before > 0
    assert report.saved_ratio > 0.5


def test_records_behave_as_a_list_of_dicts():
    rows, small = people(), compact(people())
    assert isinstance(small, Records)
    assert len(small) == len(rows)
    assert small[0] == rows[0]
    assert small[-1] == rows[-1]
    assert small[2:7:2] == rows[2:7:2]
    assert list(reversed(small)) == rows[::-1]
    assert rows[5] in small
    assert small.index(rows[5]) == 5
    assert small.count(rows[5]) == 1
    assert small + [1] == [*rows, 1]  # noqa: RUF005
    assert [1] + small == [1, *rows]  # noqa: RUF005
    assert small * 2 == rows * 2
    assert repr(small) == repr(rows)
    assert json.dumps(list(small)) == json.dumps(rows)
    assert isinstance(small[0], dict)
    assert pickle.loads(pickle.dumps(small)) == rows
    assert type(pickle.loads(pickle.dumps(small[3]))) is dict
    assert copy.deepcopy(small) == rows
    assert small != rows[1:]
    assert small != 7
    for at in (N, -N - 1):
        with pytest.raises(IndexError, match="list index out of range"):
            small[at]
    with pytest.raises(TypeError):
        hash(small)


def test_row_is_one_object_while_it_is_held_and_its_change_stays():
    small = compact(people())
    row = small[3]
    assert small[3] is row
    row["id"] = "changed"
    del row
    assert small[3]["id"] == "changed"
    small[4].update(new=1)
    assert small[4]["new"] == 1
    small[5] |= {"new": 2}
    assert small[5]["new"] == 2
    assert small[6].pop("id") == 6
    assert "id" not in small[6]


def test_row_keeps_its_tie_when_the_list_is_changed_around_it():
    small = compact(people())
    row = small[3]
    del small[0]
    row["id"] = "changed"
    assert small[2] is row
    replaced = small[7]
    small[7] = {"other": 1}
    replaced["id"] = "gone"
    assert small[7] == {"other": 1}


def test_number_list_behaves_as_a_list():
    for items in (list(range(-5, N)), [i / 3 for i in range(N)], [i % 2 == 0 for i in range(N)]):
        small = compact(items)
        assert isinstance(small, Numbers)
        small[1] = items[1] = items[2]
        small[0] = items[0] = "text"
        small.append(None)
        assert small == [*items, None]
        assert pickle.loads(pickle.dumps(small)) == small


@pytest.mark.parametrize("value", [2**200, True, 1.5, float("nan")])
def test_number_that_does_not_fit_is_kept_as_it_is(value):
    small = compact(list(range(N)))
    small[3] = value
    assert small[3] is value
    assert small[4] == 4


@given(st.lists(st.text(st.characters(), max_size=5), min_size=16, unique=True))
def test_any_text_comes_back_as_it_was(texts):
    rows = [{"t": text} for text in texts]
    assert [row["t"] for row in compact(rows)] == texts


def test_lone_surrogates_come_back_as_they_were():
    rows = [{"t": f"\ud800\udc00{i}\udfff"} for i in range(N)]
    assert compact(rows) == rows


def test_nan_keeps_its_identity():
    nan = math.nan
    rows = [{"x": nan, "y": i} for i in range(N)]
    assert compact(rows) == rows
    assert compact([nan] * N) == [nan] * N
    for in_place in (False, True):
        two = [0.0, nan, float("nan"), complex(nan, 1), complex(nan, 1)]
        expected = list(two)
        assert compact(two, in_place=in_place) == expected


class Hostile:
    def __eq__(self, other):
        raise RuntimeError("compared")

    def __hash__(self):
        return 1

    def __sizeof__(self):
        raise RuntimeError("weighed")


class Text(str):
    __slots__ = ()


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def test_code_of_the_data_never_runs():
    key, value = Hostile(), Hostile()
    obj = [{key: value}, {key}, frozenset([key]), (value,), {"a": value}]
    for in_place in (False, True):
        result = compact(obj, in_place=in_place)
        assert next(iter(result[0].values())) is value
        assert next(iter(result[1])) is key
        assert result[4]["a"] is value
    rows = [{"a": Hostile(), "n": i} for i in range(N)]
    small = compact(rows)
    assert all(small[i]["a"] is rows[i]["a"] for i in range(N))
    assert deep_size(obj) > 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.append({"b": 1}),
        lambda rows: rows.append({"y": 1, "x": 1}),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows.append([]),
        lambda rows: rows.append({Text("x"): 1, "y": 1}),
        lambda rows: rows.append({True: 2}),
        lambda rows: rows.insert(0, {}),
    ],
)
def test_lists_that_are_no_table_stay_lists(spoil):
    rows = [{"x": i, "y": str(i)} for i in range(N)]
    spoil(rows)
    small = compact(rows)
    assert type(small) is list
    assert spell(small) == spell(rows)


def test_values_of_odd_classes_stay_themselves():
    rows = [{"t": Text("a"), "s": Slotted(i), "i": 2**100 + i} for i in range(N)]
    small = compact(rows)
    for row, old in zip(small, rows, strict=True):
        assert row["t"] is old["t"]
        assert row["s"] is old["s"]
        assert row["i"] == old["i"]


@pytest.mark.parametrize("where", ["row", "table"])
def test_row_that_leads_to_itself(where):
    rows = [{"x": i, "up": None} for i in range(N)]
    rows[3]["up"] = [rows[3] if where == "row" else rows]
    small = compact(rows)
    assert type(small) is list
    assert small[3]["up"][0] is (small[3] if where == "row" else small)
    assert small[4] == {"x": 4, "up": None}


def test_shared_and_circular_containers_stay_so():
    shared = ["x"]
    obj = {"a": shared, "b": shared}
    obj["self"] = obj
    small = compact(obj)
    assert small is not obj
    assert small["a"] is small["b"]
    assert small["a"] is not shared
    assert small["self"] is small


def test_nested_tables_are_folded_too():
    obj = {"tables": [people(), people(20)], "numbers": {"n": list(range(N))}}
    small = compact(obj)
    assert small == obj
    assert isinstance(small["tables"][1], Records)
    assert isinstance(small["numbers"]["n"], Numbers)


def test_dicts_of_one_shape_share_their_keys():
    obj = {str(i): {"name": f"n{i}", "size": i, "kind": "k"} for i in range(100)}
    small = compact(obj)
    assert spell(small) == spell(obj)
    assert sys.getsizeof(small["50"]) < sys.getsizeof(obj["50"])
    small["50"]["more"] = 1
    del small["51"]["name"]
    assert list(small["50"]) == ["name", "size", "kind", "more"]
    assert small["51"] == {"size": 51, "kind": "k"}


def test_keys_that_mean_something_to_a_class_do_no_harm():
    obj = {str(i): {"__class__": 1, "__dict__": 2, "no identifier": 3} for i in range(50)}
    assert spell(compact(obj)) == spell(obj)


def test_deep_size_knows_sharing_cycles_and_depth():
    text = "x" * 1000
    assert deep_size([text, text]) == sys.getsizeof([1, 2]) + sys.getsizeof(text)
    assert deep_size(7.5) == sys.getsizeof(7.5)
    named = {"key" * 10: None}
    assert deep_size(named) == sum(map(sys.getsizeof, (named, "key" * 10, None)))
    loop: list = []
    loop.append(loop)
    assert deep_size(loop) == sys.getsizeof(loop)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert deep_size(deep) > 5_000_000
    while deep:
        deep = deep.pop()
    assert deep_size(Slotted("y" * 500)) > 500
    assert deep_size(Slotted) == 0  # a class belongs to the program


@given(anything)
def test_deep_size_is_the_sum_of_the_parts(obj):
    seen: dict[int, object] = {}

    def walk(each):
        if id(each) in seen:
            return
        seen[id(each)] = each
        if isinstance(each, dict):
            for key, value in each.items():
                walk(key)
                walk(value)
        elif isinstance(each, (list, tuple, set, frozenset)):
            for item in each:
                walk(item)

    walk(obj)
    assert deep_size(obj) == sum(map(sys.getsizeof, seen.values()))


class FoldedMachine(RuleBasedStateMachine):
    """`Records` beside the list it stands for."""

    def __init__(self):
        super().__init__()
        self.model = people(18)
        self.small = compact(people(18))
        self.chance = random.Random(1)

    @rule(at=st.integers(0, 40), value=st.integers(0, 9))
    def change_a_row(self, at, value):
        if self.model:
            at %= len(self.model)
            self.model[at]["id"] = value
            self.small[at]["id"] = value

    @rule(at=st.integers(0, 40))
    def replace(self, at):
        if self.model:
            at %= len(self.model)
            self.model[at] = {"new": at}
            self.small[at] = {"new": at}

    @rule(at=st.integers(0, 40))
    def delete(self, at):
        if self.model:
            at %= len(self.model)
            del self.model[at]
            del self.small[at]

    @rule(at=st.integers(-5, 40))
    def insert(self, at):
        self.model.insert(at, {"put": at})
        self.small.insert(at, {"put": at})

    @rule()
    def reverse(self):
        self.model.reverse()
        self.small.reverse()

    @rule()
    def extend_and_cut(self):
        self.model[2:4] = [{"cut": 1}]
        self.small[2:4] = [{"cut": 1}]

    @rule()
    def sort(self):
        self.model.sort(key=str)
        self.small.sort(key=str)

    @invariant()
    def they_agree(self):
        assert self.small == self.model
        assert len(self.small) == len(self.model)


TestFoldedMachine = FoldedMachine.TestCase
TestFoldedMachine.pytestmark = pytest.mark.parallel_threads(1)
TestFoldedMachine.settings = settings(max_examples=60, stateful_step_count=20)
