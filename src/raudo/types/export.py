"""What turns rows into bytes, and where the bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar, Protocol


class Writer(Protocol):
    """Writes rows of one format to one open binary file."""

    def write(self, rows: Sequence[Any]) -> None:
        """Append rows; called with a few thousand at a time."""
        ...

    def close(self) -> None:
        """Write what the format wants last; does not close the file."""
        ...


class Format(Protocol):
    """A file format that rows can be exported in.

    A format that compresses inside its files also has `compressions`, a tuple of names, the default
    first, and takes one as its only argument; the others are called with none. One with
    `is_columnar` true is given Arrow record batches as they are, where the rows come as such.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> Writer:
        """Start a file. `sample` is the first few thousand rows, for columns and types; do not
        write it.

        Every part of one export gets the same sample. `file.seekable()` may be False.
        """
        ...


class Sink(Protocol):
    """A place that exported bytes go to; a file appears whole or not at all."""

    def open(self, path: str) -> BinaryIO:
        """Return a file that is written aside."""
        ...

    def commit(self, path: str) -> None:
        """Put the finished file in its place."""
        ...

    def abort(self, path: str) -> None:
        """Drop an unfinished file."""
        ...
