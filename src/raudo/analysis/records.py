"""One document a line: JSON lines, comma- and tab-separated tables, plain text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["LINE_SUFFIXES", "read_lines", "read_records"]

LINE_SUFFIXES = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".txt"})
TEXT_NAMES = ("text", "content", "body", "document", "message", "summary", "description", "title")
ID_NAMES = ("id", "_id", "key")
_SAMPLED = 100

# (line number from 1, id or None, text)
Record = tuple[int, str | None, str]
Skip = Callable[[str, str], None]
Say = Callable[[str], None]


def read_lines(file: BinaryIO, encoding: str | None, name: str, bad: list[str]) -> Iterator[str]:
    """Yield lines as text; one that is not UTF-8 is read as Latin-1 and named in `bad`.

    UTF-16 and UTF-32 are read whole: a line feed is not one byte there.
    """
    if encoding is not None and encoding != "utf-8-sig":
        yield from io.StringIO(file.read().decode(encoding, errors="replace"), newline="\n")
        return
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            bad.append(f"{name}:{number}")
            yield line.decode("latin-1")


def read_records(
    lines: Iterator[str],
    path: Path,
    text_field: str | None,
    id_field: str | None,
    skip: Skip,
    say: Say,
) -> Iterator[Record]:
    """Yield the documents of a file by its suffix; `say` hears which field holds the text."""
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _json_lines(lines, path, text_field, id_field, skip, say)
        case ".csv":
            first = next(lines, "")
            rows = csv.reader(chain([first], lines), delimiter=_delimiter(first))
            return _table(rows, path, text_field, id_field, skip, say)
        case ".tsv":
            rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            return _table(rows, path, text_field, id_field, skip, say)
        case _:
            return ((number, None, line.rstrip("\r\n")) for number, line in enumerate(lines, 1))


def _json_lines(
    lines: Iterator[str],
    path: Path,
    text_field: str | None,
    id_field: str | None,
    skip: Skip,
    say: Say,
) -> Iterator[Record]:
    field = text_field
    lacks_id = False
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}"
        if not line.strip():
            skip("empty", place)
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            skip("not JSON", place)
            continue
        if isinstance(record, str):
            yield number, None, record
            continue
        if not isinstance(record, dict):
            skip("not a JSON object", place)
            continue
        if field is None:
            field = _text_field(record)
            if field is not None:
                say(f"{path}: the text is taken from field {field!r}")
        content = record.get(field) if field is not None else None
        if not isinstance(content, str):
            skip("no text field" if field is None else f"no text in field {field!r}", place)
            continue
        id_ = _id_of(record, id_field)
        if id_ is None and id_field is not None and not lacks_id:
            lacks_id = True
            say(f"{place}: no field {id_field!r}, the id is file and line there")
        yield number, id_, content


def _text_field(record: dict[str, Any]) -> str | None:
    """The first of the usual names that holds a string, else the field with the longest one."""
    for name in TEXT_NAMES:
        if isinstance(record.get(name), str):
            return name
    texts = {name: len(value) for name, value in record.items() if isinstance(value, str)}
    return max(texts, key=lambda name: texts[name]) if texts else None


def _id_of(record: dict[str, Any], id_field: str | None) -> str | None:
    for name in (id_field,) if id_field else ID_NAMES:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return None


def _table(
    rows: Any,
    path: Path,
    text_field: str | None,
    id_field: str | None,
    skip: Skip,
    say: Say,
) -> Iterator[Record]:
    numbered = _rows(rows, path, skip)
    sample = list(islice(numbered, _SAMPLED))
    if not sample:
        return
    header = [cell.strip() for cell in sample[0][1]]
    column = _column(header, (text_field,) if text_field else TEXT_NAMES)
    id_column = _column(header, (id_field,) if id_field else ID_NAMES)
    if column is None and text_field is not None:
        skip(f"no column {text_field!r}", str(path))
        return
    rest = [row for _, row in sample[1:]]
    if column is not None or id_column is not None or _is_header(header, rest):
        if column is None:
            column = _longest(rest or [header])
        sample = sample[1:]
        say(f"{path}: the text is taken from column {header[column]!r}")
        if id_column is None and id_field is not None:
            say(f"{path}: no column {id_field!r}, the ids are file and line")
    else:
        column = _longest([header, *rest])
        say(f"{path}: no header, the text is taken from column {column + 1}")
    for number, row in chain(sample, numbered):
        if column >= len(row):
            skip("too few columns", f"{path}:{number}")
            continue
        known = id_column is not None and id_column < len(row) and row[id_column]
        yield number, row[id_column] if known and id_column is not None else None, row[column]


def _rows(rows: Any, path: Path, skip: Skip) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells); a row that is no table row is skipped."""
    limit = csv.field_size_limit()
    while True:
        # the limit is the whole process's: raised for one row at a time
        csv.field_size_limit(1 << 30)
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            skip("not a table row", f"{path}:{rows.line_num}")
            continue
        finally:
            csv.field_size_limit(limit)
        if row:
            yield rows.line_num, row


def _delimiter(line: str) -> str:
    """Return what parts the cells of a table that is called comma-separated."""
    return "," if "," in line else max(",;\t|", key=line.count)


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Say whether the first row names columns: one of numbers has no number there."""
    return any(
        first[i] and not _is_number(first[i]) and all(_is_number(row[i]) for row in rest)
        for i in range(len(first))
        if rest and all(i < len(row) for row in rest)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    lowered = [cell.lower() for cell in header]
    return next((lowered.index(name.lower()) for name in names if name.lower() in lowered), None)


def _longest(rows: Sequence[Sequence[str]]) -> int:
    width = max(map(len, rows))
    totals = [sum(len(row[i]) for row in rows if i < len(row)) for i in range(width)]
    return totals.index(max(totals))
