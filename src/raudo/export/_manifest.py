"""The list of an export's parts, written when they are complete."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

__all__ = ["Manifest"]


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._file.write(json.dumps(row, indent=2).encode() + b"\n")

    def close(self) -> None:
        pass


class Manifest:
    """A format of one indented JSON object."""

    name: ClassVar[str] = "manifest"
    suffix: ClassVar[str] = ".manifest.json"

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> _Writer:
        return _Writer(file)
