"""JSON Lines: one JSON object a line, UTF-8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar

from raudo._core.encode import Encoder
from raudo.export._values import as_mapping, json_default, key_text, located

__all__ = ["JsonLines"]


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._encoder = file, new_encoder()

    def write(self, rows: Sequence[Any]) -> None:
        block = rows if type(rows) is list else list(rows)
        try:
            self._encoder.json_lines(block, self._file.write)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            i = self._encoder.row
            bad = located(error, i, block[i], new_encoder().json) if i < len(block) else None
            if bad is None:
                raise
            raise bad from error

    def close(self) -> None:
        pass


def new_encoder() -> Encoder:
    return Encoder(json_default, as_mapping, key_text)


class JsonLines:
    """Writes one JSON object a line; see `json_default` for what becomes of other types.

    NaN and infinities become null, because JSON has no word for them.
    """

    name: ClassVar[str] = "jsonl"
    suffix: ClassVar[str] = ".jsonl"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        return _Writer(file)
