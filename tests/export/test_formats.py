"""Each format keeps the format contract; what becomes of values that it does not know."""

import csv
import dataclasses
import datetime
import decimal
import enum
import io
import json
import pathlib
import sys
import uuid
from typing import Any

import numpy as np
import pytest

from raudo.errors import BadRowValue, MissingExtra
from raudo.export import export
from raudo.export.formats import format_names, format_of_suffix, load_format
from raudo.export.formats.csv import Csv
from raudo.export.formats.jsonl import JsonLines
from raudo.export.formats.npy import Npy
from raudo.testing import FormatContract


class TestJsonLines(FormatContract):
    make_format = JsonLines

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        return [json.loads(line) for line in data.split(b"\n")[:-1]]


class TestCsv(FormatContract):
    make_format = Csv

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
        return [{"id": int(row["id"]), "x": float(row["x"])} for row in rows]


class TestNpy(FormatContract):
    make_format = Npy

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        array = np.load(io.BytesIO(data))
        names = array.dtype.names or ()
        return [{name: row[name].item() for name in names} for row in array]


class TestArrow(FormatContract):
    def make_format(self) -> Any:
        pytest.importorskip("pyarrow")
        return load_format("arrow")()

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        import pyarrow

        with pyarrow.ipc.open_file(pyarrow.BufferReader(data)) as file:
            return file.read_all().to_pylist()


class TestParquet(FormatContract):
    def make_format(self) -> Any:
        pytest.importorskip("pyarrow")
        return load_format("parquet")()

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        import pyarrow
        import pyarrow.parquet

        return pyarrow.parquet.read_table(pyarrow.BufferReader(data)).to_pylist()


# --- JSON ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Colour(enum.StrEnum):
    RED = "red"


def json_row(**row: Any) -> dict[str, Any]:
    file = io.BytesIO()
    JsonLines().open(file, []).write([row])
    assert file.getvalue().count(b"\n") == 1
    return json.loads(file.getvalue())


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        (True, True),
        ("ünï\n\u2028", "ünï\n\u2028"),
        (float("nan"), None),
        (float("inf"), None),
        ([1.0, float("nan")], [1.0, None]),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.float32("nan"), None),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(3), [0, 1, 2]),
        (np.array([0.5, np.nan]), [0.5, None]),
        (np.datetime64("2024-02-29T01:02:03.000000001"), "2024-02-29T01:02:03.000000001"),
        (np.datetime64("NaT", "s"), None),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.array(["2024-02-29"], "M8[D]"), ["2024-02-29"]),
        (datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), "2024-02-29T00:00:00+00:00"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (b"\x00\xff", "AP8="),
        ({"b", "a"}, ["a", "b"]),
        (Point(1, 2.0), {"x": 1, "y": 2.0}),
        (Colour.RED, "red"),
        ((1, (2, None)), [1, [2, None]]),
        ({"deep": {"er": np.int8(1)}}, {"deep": {"er": 1}}),
        ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
        ({np.int64(7): 1, (1, 2): 2}, {"7": 1, "[1, 2]": 2}),
        (2**70, 2**70),
    ],
)
def test_json_value(value: Any, wanted: Any) -> None:
    assert json_row(v=value) == {"v": wanted}


def test_json_keeps_lone_surrogates() -> None:
    path = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert json_row(path=path, other="é\u2028") == {"path": path, "other": "é\u2028"}


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_columns_spell_lone_surrogates_as_escapes(name: str) -> None:
    """Names of files may have them; Arrow's text cannot."""
    pytest.importorskip("pyarrow")
    path = b"caf\xe9".decode("utf-8", "surrogateescape")
    rows = [{"path": "plain", "near": []}, {"path": path, "near": [{"id": path}]}]
    file = io.BytesIO()
    writer = load_format(name)().open(file, rows)
    writer.write(rows)
    writer.close()
    kind = TestArrow if name == "arrow" else TestParquet
    assert kind().parse(file.getvalue()) == [
        {"path": "plain", "near": []},
        {"path": "caf\\udce9", "near": [{"id": "caf\\udce9"}]},
    ]


def test_json_refuses_what_has_no_text_form() -> None:
    with pytest.raises(TypeError, match="type object has no form"):
        json_row(v=object())


def test_json_refuses_a_row_that_holds_itself() -> None:
    row: dict[str, Any] = {}
    row["self"] = row
    with pytest.raises(ValueError, match="contains itself"):
        json_row(v=row)


def test_rows_may_be_dataclasses() -> None:
    file = io.BytesIO()
    JsonLines().open(file, []).write([Point(1, 2.0)])
    assert json.loads(file.getvalue()) == {"x": 1, "y": 2.0}


@pytest.mark.parametrize("row", [7, "text", [1, 2], Point])
def test_a_row_of_another_kind_is_a_type_error(row: Any) -> None:
    for made in (JsonLines(), Csv()):
        with pytest.raises(TypeError, match="wanted a mapping"):
            made.open(io.BytesIO(), [row]).write([row])


# --- CSV ----------------------------------------------------------------------------------------


def csv_text(*batches: list[dict[str, Any]]) -> str:
    file = io.BytesIO()
    writer = Csv().open(file, batches[0])
    for batch in batches:
        writer.write(batch)
    writer.close()
    return file.getvalue().decode()


def test_csv_columns_are_the_union_of_the_first_batch() -> None:
    assert csv_text([{"b": 1}, {"a": 2, "b": 3}], [{"a": 4}]) == "b,a\n1,\n3,2\n,4\n"


def test_csv_refuses_a_new_column_later() -> None:
    with pytest.raises(ValueError, match="column 'late'"):
        csv_text([{"a": 1}], [{"a": 1, "late": 2}])


def test_csv_cells() -> None:
    row = {
        "none": None,
        "true": True,
        "nan": float("nan"),
        "list": [1, "a,b"],
        "date": datetime.date(2024, 2, 29),
        "text": 'say "hi"\nthere',
        "half": np.float32(0.5),
        "third": 1 / 3,
        "badly": "\udce9",
    }
    (back,) = csv.DictReader(io.StringIO(csv_text([row]), newline=""))
    assert back == {
        "none": "",
        "true": "true",
        "nan": "nan",
        "list": '[1,"a,b"]',
        "date": "2024-02-29",
        "text": 'say "hi"\nthere',
        "half": "0.5",
        "third": repr(1 / 3),
        "badly": "\\udce9",
    }


def test_csv_cells_with_carriage_returns_come_back() -> None:
    rows = [{"a": text, "b": None} for text in ("x\ry", "\r", "x\r\ny", "plain", "\n", 'q"\r')]
    text = csv_text(rows)
    assert "plain,\n" in text
    back = csv.DictReader(io.StringIO(text, newline=""))
    assert [row["a"] for row in back] == [row["a"] for row in rows]


@pytest.mark.parametrize("name", ["csv", "jsonl", "arrow"])
def test_a_value_that_contains_itself_is_refused(name: str) -> None:
    if name == "arrow":
        pytest.importorskip("pyarrow")
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        load_format(name)().open(io.BytesIO(), [{"a": value}]).write([{"a": value}])


# --- npy ----------------------------------------------------------------------------------------


def npy(*batches: Any) -> Any:
    file = io.BytesIO()
    writer = Npy().open(file, batches[0])
    for batch in batches:
        writer.write(batch)
    writer.close()
    return np.load(io.BytesIO(file.getvalue()))


def test_npy_of_arrays_keeps_dtype_and_shape() -> None:
    matrix = np.arange(24, dtype="float32").reshape(6, 2, 2)
    back = npy(matrix[:4], matrix[4:])
    assert back.dtype == matrix.dtype
    assert (back == matrix).all()


def test_npy_of_dataclasses() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: float

    back = npy([Point(1, 0.5), Point(2, 1.5)], [Point(3, 2.5)])
    assert back.dtype.names == ("x", "y")
    assert back["y"].tolist() == [0.5, 1.5, 2.5]


def test_npy_of_strided_rows() -> None:
    matrix = np.arange(24).reshape(4, 6)[:, ::2]
    assert (npy(matrix) == matrix).all()


def test_npy_of_lists_and_of_row_arrays() -> None:
    assert npy([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert npy([np.ones(3, "f4")] * 2).dtype == np.float32


def test_npy_widens_later_rows_but_never_narrows() -> None:
    assert npy([0.5], [1]).tolist() == [0.5, 1.0]
    with pytest.raises(ValueError, match="one dtype"):
        npy([1], [0.5])
    with pytest.raises(ValueError, match="one dtype"):
        npy([{"a": 1}], [{"a": 0.5}])


def test_npy_refuses_text_ragged_and_other_columns() -> None:
    with pytest.raises(ValueError, match="column 'a'"):
        npy([{"a": "text"}])
    with pytest.raises(ValueError, match=r"rows are object|one shape"):
        npy([[1, 2], [3]])
    with pytest.raises(ValueError, match="one shape"):
        npy([[1, 2]], [[1, 2, 3]])
    with pytest.raises(ValueError, match="columns"):
        npy([{"a": 1}], [{"b": 1}])


def test_npy_header_has_room_for_many_rows() -> None:
    one, many = io.BytesIO(), io.BytesIO()
    Npy().open(one, [0.0]).close()
    writer = Npy().open(many, [0.0])
    writer.write(np.zeros(123_456))
    writer.close()
    assert np.load(io.BytesIO(many.getvalue())).shape == (123_456,)
    assert many.tell() - one.tell() == 8 * 123_456


# --- arrow, registry ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_arrow_schema_comes_from_the_first_batch(name: str) -> None:
    pytest.importorskip("pyarrow")
    writer = load_format(name)().open(io.BytesIO(), [{"a": None}, {"a": 1, "b": "x"}])
    writer.write([{"b": "y"}, {"a": np.int64(2)}])
    with pytest.raises(ValueError, match="column 'c'"):
        writer.write([{"c": 1}])
    with pytest.raises(ValueError, match="does not fit"):
        writer.write([{"a": "text"}])
    writer.close()


def test_parquet_gathers_batches_into_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr("raudo.export.formats.arrow.GROUP_ROWS", 10)
    file, batch = io.BytesIO(), pyarrow.RecordBatch.from_pylist([{"a": i} for i in range(4)])
    writer = load_format("parquet")().open(file, batch)
    for _ in range(7):
        writer.write(batch)
    other = pyarrow.RecordBatch.from_pylist([{"a": "text"}])
    with pytest.raises(BadRowValue, match="another schema"):
        writer.write(other)
    writer.close()
    found = parquet.ParquetFile(pyarrow.BufferReader(file.getvalue()))
    groups = [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert groups == [10, 2, 10, 2, 4]
    assert found.read().column("a").to_pylist() == [0, 1, 2, 3] * 7


def test_arrow_refuses_mixed_types_by_column() -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="column 'mixed'"):
        load_format("arrow")().open(io.BytesIO(), [{"mixed": [1, {"a": 1}]}])


@pytest.mark.parametrize("value", [10**30, np.datetime64("2020")])
def test_arrow_refuses_values_that_it_has_no_type_for(value: Any) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="column 'a'"):
        load_format("arrow")().open(io.BytesIO(), [{"a": value}])


def test_arrow_refuses_later_integers_that_do_not_fit() -> None:
    pytest.importorskip("pyarrow")
    writer = load_format("arrow")().open(io.BytesIO(), [{"a": 1}])
    with pytest.raises(ValueError, match="does not fit"):
        writer.write([{"a": 10**30}])
    writer.close()


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_arrow_without_pyarrow_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"raudo\[arrow\]"):
        load_format(name)().open(io.BytesIO(), [])


def test_every_format_is_found_by_name_and_by_suffix() -> None:
    for name in format_names():
        kind = load_format(name)
        assert kind.name == name
        assert format_of_suffix(kind.suffix) == name


def test_plugged_format_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    class Lines(JsonLines):
        name = "lines"
        suffix = ".lines"

    class EntryPoint:
        name = "lines"

        def load(self) -> type:
            return Lines

    monkeypatch.setattr(
        "raudo.export.formats.entry_points",
        lambda group, name="lines": [EntryPoint()] if name == "lines" else [],
    )
    export([{"a": 1}], tmp_path / "rows.lines.gz")
    assert "lines" in format_names()
    with pytest.raises(ValueError, match=r"format is 'other', wanted one of .*lines"):
        load_format("other")
