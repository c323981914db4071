"""The kernel that reads rows of comma-separated text, against the csv module."""

from __future__ import annotations

import csv
import io
import random

import pytest

from raudo._core.cells import pick

COLUMNS = (0, 1, 2)


def picked(
    text: str, delimiter: str = ",", *, is_quoted: bool = True, most_bytes: int = 1 << 20
) -> tuple[list[tuple[int, list[str | None]]], bytes]:
    """Return the rows, with the number of the last line of each, and what was not read."""
    data = text.encode()
    numbers: list[int] = []
    cells: tuple[list[str | None], ...] = ([], [], [])
    at, number = pick(
        data, 0, 0, COLUMNS, 1 << 30, delimiter, is_quoted, most_bytes, numbers, cells
    )
    assert data[:at].count(b"\n") in (number, number - 1)
    rows = [list(row) for row in zip(*cells, strict=True)]
    return list(zip(numbers, rows, strict=True)), data[at:]


def by_csv(text: str, delimiter: str, *, is_quoted: bool) -> list[tuple[int, list[str | None]]]:
    """Return the rows up to the first that is malformed."""
    quoting = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    lines = io.StringIO(text, newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    rows: list[tuple[int, list[str | None]]] = []
    try:
        for row in reader:
            if row:
                wanted = [row[i] if i < len(row) else None for i in COLUMNS]
                rows.append((reader.line_num, wanted))
    except csv.Error:
        pass
    return rows


@pytest.mark.parametrize("is_quoted", [True, False])
def test_rows_are_those_of_the_csv_module(is_quoted: bool) -> None:
    chance = random.Random(is_quoted)
    n_rows = n_whole = 0
    for _ in range(4_000):
        delimiter = chance.choice(",;\t")
        alphabet = [delimiter, '"', "\n", "\r\n", "é", "界 🙂", "plain text", "\r", '""', '"a"']
        text = "".join(chance.choices(alphabet, [6, 2, 4, 2, 1, 1, 4, 0.2, 1, 2], k=20))
        found, rest = picked(text, delimiter, is_quoted=is_quoted)
        expected = by_csv(text, delimiter, is_quoted=is_quoted)
        assert found == expected[: len(found)], repr(text)
        if not rest:
            assert found == expected, repr(text)
        n_rows, n_whole = n_rows + len(found), n_whole + (not rest)
        # What is left begins a row that is malformed, or ends in more than one carriage return.
        again = by_csv(rest.decode(), delimiter, is_quoted=is_quoted)
        assert not rest or not again or "\r" in rest.decode(), repr(text)
    assert n_rows > 4_000
    assert n_whole > 400


@pytest.mark.parametrize("end", [",z\n", "\n", "\r\n", ""])
def test_cells_of_every_length_end_where_they_should(end: str) -> None:
    for n in range(70):
        for shift in (0, 3):
            text = "s" * shift + "," + "x" * n + end
            ((_, row),), rest = picked(text)
            assert (row[:2], rest) == (["s" * shift, "x" * n], b"")
            assert row[2] == ("z" if "z" in end else None)
            quoted = f'"{"y" * shift}","{"x" * n}""\n"{end}'
            ((number, row),), rest = picked(quoted)
            assert (row[:2], rest) == (["y" * shift, "x" * n + '"\n'], b"")
            assert number == 2


def test_what_is_not_well_formed_is_left_with_its_row() -> None:
    good = 'a,"b\nc"\n\n'
    for bad in ('"open', '"a"b\n', 'x,"a"b,c\n', "a\rb\n", '"a" ,b\n', '"never\nclosed\n'):
        found, rest = picked(good + bad)
        assert found == [(2, ["a", "b\nc", None])]
        assert rest == bad.encode()
    assert picked('a "b" c,"" \n')[1] == b'a "b" c,"" \n'
    assert picked('a "b" c,\n')[0] == [(1, ['a "b" c', "", None])]


def test_a_cell_that_is_too_long_is_left() -> None:
    assert picked("abc\n", most_bytes=3) == ([(1, ["abc", None, None])], b"")
    assert picked("abcd\n", most_bytes=3) == ([], b"abcd\n")


def test_it_stops_at_so_many_rows_and_goes_on_from_there() -> None:
    data = b"0\n1\n2\n3\n4\n"
    numbers: list[int] = []
    cells: list[str | None] = []
    at, number = pick(data, 0, 10, (0,), 3, ",", True, 100, numbers, (cells,))
    assert (at, number, cells, numbers) == (6, 13, ["0", "1", "2"], [11, 12, 13])
    assert pick(data, at, number, (0,), 5, ",", True, 100, numbers, (cells,)) == (10, 15)
    assert cells == ["0", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match="2 columns for 1 lists"):
        pick(data, 0, 0, (0, 1), 1, ",", True, 100, numbers, (cells,))
