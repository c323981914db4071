"""Folded lists leak nothing: made, read, changed, unfolded, pickled, and in cycles."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from typing import Any

from counting import assert_no_growth

from raudo.memory import Numbers, Records, compact, deep_size


def parsed(n: int) -> Any:
    rows = [{"id": i, "city": f"city {i % 3}", "score": i / 7, "tags": [i, "x"]} for i in range(n)]
    return json.loads(json.dumps(rows))


def records() -> None:
    rows = parsed(40)
    for in_place in (False, True):
        small = compact(rows, in_place=in_place)
        assert small == rows
        deep_size(small)
    small = compact(rows)
    assert isinstance(small, Records)
    row = small[3]
    row["city"] = "elsewhere"
    row["more"] = small  # a cycle
    small[4] = {"id": 4, "city": "x", "score": 1.0, "tags": []}
    small[5] = {"other": "shape"}
    small.append(row)
    small.sort(key=str)
    small.clear()


def numbers() -> None:
    for values in (list(range(300, 400)), [i / 3 for i in range(99)], [True, False] * 20):
        small = compact(values)
        assert isinstance(small, Numbers)
        list(small)
        small[2] = small[3]
        small[2] = "no number"
        small.extend([small, None])


def copies() -> None:
    for data in (parsed(40), list(range(1000, 1100))):
        small = compact(data)
        assert pickle.loads(pickle.dumps(small)) == copy.deepcopy(small) == data
        assert [*small] == data
        assert small * 1 == data
        with contextlib.suppress(IndexError):
            small[1000]
        with contextlib.suppress(TypeError):
            small < 3  # noqa: B015


for work in (records, numbers, copies):
    assert_no_growth(work.__name__, work)
