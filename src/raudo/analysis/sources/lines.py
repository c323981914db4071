"""One document a line: plain text and JSON lines; and JSON arrays, one document an element.

Lines are read in blocks of about a MiB and decoded a block at a time; a line alone is looked at
only where its block is not UTF-8.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from raudo.analysis.documents import Batch
from raudo.analysis.sources.decoding import SNIFFED, encoding_by_mark
from raudo.analysis.sources.rows import documents_of
from raudo.analysis.sources.tally import Tally

__all__ = [
    "ID_NAMES",
    "MAX_DOCUMENT_BYTES",
    "TEXT_NAMES",
    "TOO_LARGE",
    "Fields",
    "Records",
    "beginning",
    "read_json_array",
    "read_json_lines",
    "read_text_lines",
    "text_blocks",
]

# A document is one thing to look at: beyond this it is a data file that was named by mistake.
MAX_DOCUMENT_BYTES = 64 << 20
TOO_LARGE = f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"
TEXT_NAMES = ("text", "content", "body", "document", "message", "summary", "description", "title")
ID_NAMES = ("id", "_id", "key")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Fields:
    """Which field or column holds the text and which the id, where the caller said so."""

    text: str | None = None
    id: str | None = None


Blocks = Iterator[tuple[int, str]]


def text_blocks(file: BinaryIO, name: str, tally: Tally) -> Blocks:
    """Yield (number of the first line, text of whole lines) for a file that is not binary.

    A line that is not UTF-8 is read as Latin-1 and named; one of more than `MAX_DOCUMENT_BYTES` is
    left out. UTF-16 and UTF-32 are decoded as a stream: a line feed is not one byte there.
    """
    read = getattr(file, "read1", file.read)  # what came before a cut is not lost with it
    head = read(SNIFFED)
    encoding = encoding_by_mark(head)
    if b"\0" in head and encoding is None:
        tally.skip("binary", name)
        return
    if encoding is not None and encoding != "utf-8-sig":
        yield from _wide_blocks(head, read, encoding)
        return
    number, data = 1, head.removeprefix(codecs.BOM_UTF8)
    carry: list[bytes] = []  # the beginning of a line whose end is yet to come
    size, is_too_long = 0, False
    while data:
        cut = data.rfind(b"\n") + 1
        if not cut:
            size += len(data)
            carry.append(data)
            if size > MAX_DOCUMENT_BYTES:
                if not is_too_long:
                    tally.skip(TOO_LARGE, f"{name}:{number}")
                carry, is_too_long = [], True
        else:
            start = data.find(b"\n") + 1 if is_too_long else 0
            number += is_too_long
            if block := b"".join([*carry, data[start:cut]]):
                yield number, _decoded(block, number, name, tally)
                number += block.count(b"\n")
            carry, size, is_too_long = [data[cut:]], len(data) - cut, False
        data = read(_BLOCK)
    if not is_too_long and (block := b"".join(carry)):
        yield number, _decoded(block, number, name, tally)


def _decoded(block: bytes, number: int, name: str, tally: Tally) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError:
        pass
    lines = []
    for at, line in enumerate(block.split(b"\n"), number):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            tally.misread(f"{name}:{at}")
            lines.append(line.decode("latin-1"))
    return "\n".join(lines)


def _wide_blocks(head: bytes, read: Callable[[int], bytes], encoding: str) -> Blocks:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    number, carry = 1, decoder.decode(head)
    while data := read(_BLOCK):
        carry += decoder.decode(data)
        cut = carry.rfind("\n") + 1
        if cut:
            yield number, carry[:cut]
            number += carry.count("\n", 0, cut)
            carry = carry[cut:]
    carry += decoder.decode(b"", final=True)
    if carry:
        yield number, carry


def read_text_lines(blocks: Blocks, name: str, tally: Tally) -> Iterator[Batch]:
    """Yield a document a line; blank lines are left out."""
    for first, block in blocks:
        lines = block.removesuffix("\n").split("\n")
        if "\r" in block:
            lines = [line.rstrip("\r") for line in lines]
        yield documents_of(name, range(first, first + len(lines)), lines, None, tally)


def _parsers() -> tuple[Callable[[str], Any], Callable[[str], Any]]:
    """Return what parses JSON, orjson where it is installed, and what is asked where that refuses:
    json takes NaN and lone surrogates."""
    try:
        import orjson
    except ImportError:
        return json.loads, json.loads
    return orjson.loads, json.loads


class Records:
    """Turns records into documents: finds the text field at the first of them."""

    def __init__(self, name: str, fields: Fields, tally: Tally) -> None:
        self._name, self._tally, self._id_field = name, tally, fields.id
        self._field = fields.text
        self._id_names = (fields.id,) if fields.id else ID_NAMES
        self._lacks_id = False

    def batch(self, numbered: Iterable[tuple[int, Any]]) -> Batch:
        """Return the documents of some numbered records: objects, or texts that have no id."""
        kept: list[int] = []
        texts: list[str | None] = []
        own: list[str | None] = []
        field, id_name = self._field, self._id_names[0]
        for number, record in numbered:
            id_: Any = None
            if type(record) is dict:
                content = record.get(field) if field is not None else self._first(record)
                field = self._field
                if type(content) is not str:
                    lacks = "no text field" if field is None else f"no text in field {field!r}"
                    self._tally.skip(lacks, f"{self._name}:{number}")
                    continue
                id_ = record.get(id_name)
                if type(id_) is not str:
                    id_ = self._id_of(record, number)
            elif type(record) is str:
                content = record
            else:
                self._tally.skip("not a JSON object", f"{self._name}:{number}")
                continue
            kept.append(number)
            texts.append(content)
            own.append(id_)
        return documents_of(self._name, kept, texts, own, self._tally)

    def _first(self, record: dict[str, Any]) -> Any:
        """Choose the first of the usual names that holds a string, else the field with the
        longest."""
        found = next((name for name in TEXT_NAMES if isinstance(record.get(name), str)), None)
        if found is None:
            texts = {name: len(value) for name, value in record.items() if isinstance(value, str)}
            found = max(texts, key=lambda name: texts[name]) if texts else None
        if found is None:
            return None
        self._field = found
        self._tally.note(f"{self._name}: the text is taken from field {found!r}")
        return record[found]

    def _id_of(self, record: dict[str, Any], number: int) -> str | None:
        for name in self._id_names:
            value = record.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
        if self._id_field is not None and not self._lacks_id:
            self._lacks_id = True
            place = f"{self._name}:{number}"
            self._tally.note(f"{place}: no field {self._id_field!r}, the id is file and line there")
        return None


def read_json_lines(blocks: Blocks, name: str, fields: Fields, tally: Tally) -> Iterator[Batch]:
    """Yield a document a line, or an element where the file is one JSON array."""
    records = Records(name, fields, tally)
    start, blocks = beginning(blocks)
    if start == "[":
        held, rest = _hold(blocks)
        content = "".join(block for _, block in held)
        batch = read_json_array(content, name, fields, tally) if rest is None else None
        if batch is not None:
            yield batch
            return
        blocks = chain(held, rest or iter(()))
    for first, block in blocks:
        yield records.batch(_parsed(block, first, name, tally))


def _parsed(block: str, first: int, name: str, tally: Tally) -> Iterator[tuple[int, Any]]:
    """Yield (number of the line, record) one by one: kept together they are work for the collector
    of garbage. A blank line is an empty text."""
    parse, parse_again = _parsers()
    for number, line in enumerate(block.removesuffix("\n").split("\n"), first):
        try:
            record = parse(line)
        except (ValueError, RecursionError):
            try:
                record = parse_again(line) if line and not line.isspace() else ""
            except (ValueError, RecursionError):
                tally.skip("not JSON", f"{name}:{number}")
                continue
        yield number, record


def beginning(blocks: Blocks) -> tuple[str, Blocks]:
    """Return the first character that is no white space, and the blocks as they were."""
    first = next(blocks, None)
    if first is None:
        return "", blocks
    return first[1].lstrip()[:1], chain([first], blocks)


def _hold(blocks: Blocks) -> tuple[list[tuple[int, str]], Blocks | None]:
    """Return the blocks, and what is left of them where they are too many to hold."""
    held, size = [], 0
    for block in blocks:
        held.append(block)
        size += len(block[1])
        if size > MAX_DOCUMENT_BYTES:
            return held, blocks
    return held, None


def read_json_array(content: str, name: str, fields: Fields, tally: Tally) -> Batch | None:
    """Return the documents of a text that is one JSON array of texts or records; None where it is
    not."""
    if content.lstrip()[:1] != "[":
        return None
    try:
        array = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not array or not all(isinstance(each, str | dict) for each in array):
        return None
    return Records(name, fields, tally).batch(enumerate(array, 1))
