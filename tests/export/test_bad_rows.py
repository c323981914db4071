"""What a format cannot hold is told by its row and column, counted over the whole export."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raudo.errors import BadRow, BadRowType, BadRowValue
from raudo.export import export
from raudo.export._blocks import BATCH_ROWS

HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)

NUMBERS = {"a": 1, "b": 0.5}
CASES: list[tuple[str, dict[str, Any] | int, type[BadRow], str | None]] = [
    ("jsonl", {"a": 1, "b": object()}, BadRowType, "b"),
    ("jsonl", {"a": {"deep": [object()]}, "b": 1}, BadRowType, "a"),
    ("jsonl", {"a": 1, "b": HOLDS_ITSELF}, BadRowValue, "b"),
    ("jsonl", {"a": 10**5000, "b": 1}, BadRowValue, "a"),
    ("jsonl", 7, BadRowType, None),
    ("csv", {"a": 1, "b": object()}, BadRowType, "b"),
    ("csv", {"a": 1, "b": HOLDS_ITSELF}, BadRowValue, "b"),
    ("csv", {"a": 1, "b": 1, "late": 2}, BadRowValue, "late"),
    ("csv", 7, BadRowType, None),
    ("npy", {"a": 1, "b": "text"}, BadRowValue, "b"),
    ("npy", {"a": 0.5, "b": 0.5}, BadRowValue, "a"),
    ("npy", {"a": [1, 2], "b": 0.5}, BadRowValue, "a"),
    ("npy", {"a": 1}, BadRowValue, "b"),
    ("npy", 7, BadRowType, None),
    ("arrow", {"a": "text", "b": 0.5}, BadRowValue, "a"),
    ("arrow", {"a": 10**30, "b": 0.5}, BadRowValue, "a"),
    ("arrow", {"a": 1, "b": HOLDS_ITSELF}, BadRowValue, "b"),
    ("arrow", {"a": 1, "b": 0.5, "late": 2}, BadRowValue, "late"),
    ("arrow", 7, BadRowType, None),
    ("parquet", {"a": 1, "b": {"c": 1}}, BadRowValue, "b"),
]


@pytest.mark.parametrize("parts", [None, 3])
@pytest.mark.parametrize(("name", "bad", "kind", "column"), CASES)
def test_bad_row_is_named(
    tmp_path: Path,
    name: str,
    bad: Any,
    kind: type[BadRow],
    column: str | None,
    parts: int | None,
) -> None:
    if name in ("arrow", "parquet"):
        pytest.importorskip("pyarrow")
    at = 4 * BATCH_ROWS + 5
    rows = [NUMBERS] * at + [bad] + [NUMBERS] * 3 * BATCH_ROWS
    with pytest.raises(kind) as caught:
        export(rows, tmp_path / f"rows.{name}", parts=parts)
    assert (caught.value.row, caught.value.column) == (at, column)
    assert str(caught.value).startswith(f"row {at}")
    assert column is None or repr(column) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_bad_value_among_the_first_rows(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 2}, {"a": "three"}, {"a": 4}]
    for name in ("npy", "arrow"):
        if name == "arrow":
            pytest.importorskip("pyarrow")
        with pytest.raises(BadRowValue, match="three") as caught:
            export(rows, tmp_path / f"rows.{name}")
        assert (caught.value.row, caught.value.column) == (2, "a")


def test_bad_row_among_arrays(tmp_path: Path) -> None:
    rows = [np.zeros(3), np.zeros(3), np.zeros(4)]
    with pytest.raises(BadRowValue, match="one shape") as caught:
        export(rows, tmp_path / "rows.npy")
    assert caught.value.row == 2


def test_an_error_of_the_users_own_code_passes_through(tmp_path: Path) -> None:
    class Broken(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise ZeroDivisionError("mine")

        def __iter__(self) -> Iterator[str]:
            return iter("a")

        def __len__(self) -> int:
            return 1

    with pytest.raises(ZeroDivisionError, match="mine"):
        export([{"a": 1}, Broken()], tmp_path / "rows.jsonl")
    assert os.listdir(tmp_path) == []
