"""JSON Lines: one JSON object a line, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar

from raudo.export._values import as_mapping, json_default, plain

__all__ = ["JsonLines"]

_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=json_default
)


def _line(row: Any) -> str:
    if type(row) is not dict:
        row = dict(as_mapping(row))
    try:
        return _ENCODER.encode(row)
    except (ValueError, TypeError) as error:
        # NaN, infinity and keys of other types are rare: only a row that has some is rebuilt. A
        # structure that contains itself is refused again by the rebuilding, for its depth.
        try:
            return _ENCODER.encode(plain(row))
        except RecursionError:
            raise ValueError(f"a row cannot be written as JSON: {error}") from None


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Sequence[Any]) -> None:
        text = "\n".join(map(_line, rows)) + "\n"
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError:
            # Lone surrogates (undecodable file names): escaped, they are valid JSON and come back.
            data = "".join(_ascii(line) + "\n" for line in text[:-1].split("\n")).encode("ascii")
        self._file.write(data)

    def close(self) -> None:
        pass


def _ascii(line: str) -> str:
    return json.dumps(json.loads(line), separators=(",", ":"))


class JsonLines:
    """Writes one JSON object a line; see `json_default` for what becomes of other types.

    NaN and infinities become null, because JSON has no word for them.
    """

    name: ClassVar[str] = "jsonl"
    suffix: ClassVar[str] = ".jsonl"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        return _Writer(file)
