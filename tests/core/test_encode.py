"""The compiled encoder: floats as `repr`, JSON as `json` and CSV as `csv` spell them."""

import csv
import io
import json
import math
import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo._core.encode import Encoder, float_text, integer_text


def refuse(value: Any) -> Any:
    raise TypeError(f"no {value!r}")


def new_encoder() -> Encoder:
    return Encoder(refuse, lambda row: row, str)


def json_lines(rows: list[Any]) -> bytes:
    pieces: list[bytes] = []
    new_encoder().json_lines(rows, pieces.append)
    return b"".join(pieces)


def csv_lines(rows: list[Any], columns: tuple[Any, ...]) -> bytes:
    pieces: list[bytes] = []
    new_encoder().csv_lines(rows, columns, pieces.append)
    return b"".join(pieces)


# --- numbers --------------------------------------------------------------------------------------


def test_floats_are_spelled_as_repr_does() -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for number in struct.unpack("20000d", chance.randbytes(160_000)):
        assert float_text(number) == repr(number), (seed, number.hex())
    for _ in range(20_000):
        size = 10.0 ** chance.randrange(-4, 13)
        number = round(chance.uniform(-size, size), chance.randrange(17))
        assert float_text(number) == repr(number), seed
        near = math.nextafter(number, chance.choice((-math.inf, math.inf)))
        assert float_text(near) == repr(near), seed


@pytest.mark.parametrize("towards", [None, 0.0, math.inf])
def test_floats_at_the_ends_of_intervals(towards: float | None) -> None:
    powers = [2.0**e for e in range(-1074, 1024)]
    powers += [float(f"{m}e{e}") for e in range(-324, 309) for m in ("1", "5", "9.5")]
    for number in powers:
        near = number if towards is None else math.nextafter(number, towards)
        assert float_text(near) == repr(near)
        assert float_text(-near) == repr(-near)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_spelled_as_str_does(number: int) -> None:
    assert integer_text(number) == str(number)


@pytest.mark.parametrize("n_digits", range(19))
def test_integers_at_each_number_of_digits(n_digits: int) -> None:
    for number in (10**n_digits - 1, 10**n_digits, -(10**n_digits)):
        assert integer_text(number) == str(number)


# --- text -----------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=70) | st.text(
    'ab",\\\n\r\x00\x1f é日😀', max_size=70
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=5), max_size=4))
def test_json_is_what_the_standard_library_writes(rows: list[dict[str, Any]]) -> None:
    wanted = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    assert json_lines(rows) == "".join(wanted).encode()


@given(st.text(st.characters(categories=["Cs", "Ll"]), max_size=20))
def test_json_of_lone_surrogates_comes_back(text: str) -> None:
    (line,) = json_lines([{text: text}]).splitlines()
    assert json.loads(line) == json.loads(json.dumps({text: text}))


@pytest.mark.parametrize("care", ['"', "\\", "\n", "\x00", ",", "\r", "é", "日", "😀"])
def test_what_needs_care_is_found_at_each_place(care: str) -> None:
    for n in range(50):
        for place in range(n):
            text = "x" * place + care + "y" * (n - place - 1)
            assert json.loads(json_lines([{"a": text}])) == {"a": text}
            (back,) = csv.reader(io.StringIO(csv_lines([{"a": text}], ("a",)).decode(), newline=""))
            assert back == [text]


CELLS = st.none() | st.integers() | st.floats() | TEXTS


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6))
def test_csv_is_what_the_standard_library_writes(cells: list[tuple[Any, Any]]) -> None:
    cells = [tuple(c.replace("\r", "") if isinstance(c, str) else c for c in row) for row in cells]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells)
    rows = [{"a": a, "b": b} for a, b in cells]
    assert csv_lines(rows, ("a", "b")) == text.getvalue().encode()


@given(st.lists(TEXTS | st.none(), max_size=6))
def test_csv_of_one_column_has_no_empty_line(cells: list[str | None]) -> None:
    text = csv_lines([{"a": cell} for cell in cells], ("a",)).decode()
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert back == [[cell or ""] for cell in cells]


# --- rows and their keys --------------------------------------------------------------------------


def test_rows_of_any_order_and_gaps_fall_into_columns() -> None:
    rows = [{"a": 1, "b": 2}, {"b": 3, "a": 4}, {"b": 5}, {}, {"".join(["", "a"]): 6, "b": 7}]
    assert csv_lines(rows, ("a", "b")) == b"1,2\n4,3\n,5\n,\n6,7\n"


def test_unknown_columns_say_their_row() -> None:
    encoder = new_encoder()
    with pytest.raises(LookupError):
        encoder.csv_lines([{"a": 1}, {"a": 1, "c": 2}], ("a",), bytes)
    assert encoder.row == 1
    with pytest.raises(LookupError):
        encoder.csv_lines([{"c": 1}], ("a",), bytes)


def test_more_keys_than_are_remembered() -> None:
    names = [f"{'long' * (i % 20)} key {i}" for i in range(1000)]
    rows = [{name: i} for i, name in enumerate(names)] * 2
    assert [json.loads(line) for line in json_lines(rows).splitlines()] == rows


def test_an_encoder_goes_on_after_an_error() -> None:
    encoder, pieces = new_encoder(), []
    with pytest.raises(TypeError, match="no <object"):
        encoder.json_lines([{"a": 1}, {"a": [object()]}], pieces.append)
    assert encoder.row == 1
    assert pieces == []
    encoder.json_lines([{"a": 1}], pieces.append)
    assert pieces == [b'{"a":1}\n']


def test_large_batches_are_handed_on_in_pieces() -> None:
    pieces: list[bytes] = []
    rows = [{"a": "x" * 10_000} for _ in range(100)]
    new_encoder().json_lines(rows, pieces.append)
    assert len(pieces) > 2
    assert b"".join(pieces) == json_lines(rows)


class Shrinking:
    """A value whose conversion empties the containers that hold it."""

    def __init__(self, *holders: Any) -> None:
        self.holders = holders


def test_empty_cells_have_room_for_their_commas() -> None:
    columns = tuple(map(str, range(1000)))
    rows = [dict.fromkeys(columns), {"999": 1}] * 200
    assert csv_lines(rows, columns) == (b"," * 999 + b"\n" + b"," * 999 + b"1\n") * 200


@pytest.mark.parametrize("lines", ["json", "csv"])
def test_conversion_may_change_what_holds_the_value(lines: str) -> None:
    def convert(value: Shrinking) -> Any:
        for each in value.holders:
            each.clear()
        return {"n": len(value.holders)}

    row: dict[str, Any] = {}
    values: list[Any] = []
    values += [Shrinking(values, row), "next"]
    row |= {"a": values, "b": "x" * 100}
    encoder = Encoder(convert, dict, str)
    if lines == "json":
        with pytest.raises(RuntimeError, match="changed while it was written"):
            encoder.json_lines([row], bytes)
    else:  # the cells that are gone are empty
        encoder.csv_lines([row], ("a", "b"), bytes)


def test_numbers_longer_than_the_machine_has() -> None:
    rows = [{"a": 2**63}, {"a": -(2**63) - 1}, {"a": 10**400}]
    assert [json.loads(line) for line in json_lines(rows).splitlines()] == rows
    with pytest.raises(ValueError, match="limit"):
        json_lines([{"a": 10**5000}])


def test_depth_has_a_bound() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert json_lines([{"a": deep}]).count(b"[") == 900
    for _ in range(200):
        deep = (deep,)
    with pytest.raises(RecursionError):
        json_lines([{"a": deep}])
