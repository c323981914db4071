"""Contract suites for the export seams: inherit one in a test class and give it its subject.

class TestMySink(SinkContract):
    def make_sink(self): return MySink()
    def location(self, name): return f"my://{name}"
    def read(self, location): ...          # bytes, or None where there is no such file
"""

from __future__ import annotations

import io
from typing import Any

from raudo.types import Format, Sink

__all__ = ["FormatContract", "SinkContract"]


class SinkContract:
    """What `raudo.types.Sink` promises: a file appears whole or not at all."""

    def make_sink(self) -> Sink:
        """Return a fresh sink over an empty place."""
        raise TypeError(f"{type(self).__name__} must define make_sink")

    def location(self, name: str) -> str:
        """Return the path or URL of a file of this name, as `export` would be given it."""
        raise TypeError(f"{type(self).__name__} must define location")

    def read(self, location: str) -> bytes | None:
        """Return a file's bytes, or None where there is none."""
        raise TypeError(f"{type(self).__name__} must define read")

    def names(self) -> list[str]:
        """Return the names of all files in the place, half-written ones included."""
        raise TypeError(f"{type(self).__name__} must define names")

    def _put(self, sink: Sink, location: str, data: bytes) -> None:
        with sink.open(location) as file:
            file.write(data)
        sink.commit(location)

    def test_commit_puts_the_whole_file_in_its_place(self) -> None:
        location = self.location("a.bin")
        data = bytes(range(256)) * 4096
        self._put(self.make_sink(), location, data)
        assert self.read(location) == data
        assert self.names() == ["a.bin"]

    def test_nothing_is_seen_before_commit(self) -> None:
        sink, location = self.make_sink(), self.location("a.bin")
        with sink.open(location) as file:
            file.write(b"half")
        assert self.read(location) is None
        sink.abort(location)

    def test_abort_leaves_nothing(self) -> None:
        sink, location = self.make_sink(), self.location("a.bin")
        with sink.open(location) as file:
            file.write(b"half")
        sink.abort(location)
        assert self.read(location) is None
        assert self.names() == []

    def test_abort_leaves_the_old_file(self) -> None:
        sink, location = self.make_sink(), self.location("a.bin")
        self._put(sink, location, b"old")
        with sink.open(location) as file:
            file.write(b"new, half")
        sink.abort(location)
        assert self.read(location) == b"old"

    def test_commit_replaces_the_old_file(self) -> None:
        sink, location = self.make_sink(), self.location("a.bin")
        self._put(sink, location, b"old and longer")
        self._put(sink, location, b"new")
        assert self.read(location) == b"new"
        assert self.names() == ["a.bin"]

    def test_abort_without_open_is_harmless(self) -> None:
        self.make_sink().abort(self.location("a.bin"))
        assert self.names() == []

    def test_files_of_one_sink_do_not_mix(self) -> None:
        sink = self.make_sink()
        first, second = self.location("a.bin"), self.location("b.bin")
        with sink.open(first) as one, sink.open(second) as two:
            one.write(b"1")
            two.write(b"2")
        sink.abort(first)
        sink.commit(second)
        assert (self.read(first), self.read(second)) == (None, b"2")


class FormatContract:
    """What `raudo.types.Format` promises: files that hold the rows, in order, however cut."""

    def make_format(self) -> Format:
        """Return the format as `export` would make it."""
        raise TypeError(f"{type(self).__name__} must define make_format")

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        """Return the rows of a file."""
        raise TypeError(f"{type(self).__name__} must define parse")

    def _written(self, *batches: list[dict[str, Any]]) -> bytes:
        file = io.BytesIO()
        writer = self.make_format().open(file, batches[0] if batches else [])
        for batch in batches:
            writer.write(batch)
        writer.close()
        return file.getvalue()

    def test_name_and_suffix_are_given(self) -> None:
        made = self.make_format()
        assert made.name
        assert made.suffix.startswith(".")

    def test_rows_come_back_in_order(self) -> None:
        rows = [{"id": i, "x": i / 4} for i in range(100)]
        assert self.parse(self._written(rows)) == rows

    def test_batches_join_without_a_seam(self) -> None:
        rows = [{"id": i, "x": i / 4} for i in range(100)]
        assert self.parse(self._written(rows[:1], rows[1:60], rows[60:])) == rows

    def test_no_rows_make_a_readable_file(self) -> None:
        assert self.parse(self._written()) == []

    def test_the_sample_is_not_written(self) -> None:
        file = io.BytesIO()
        writer = self.make_format().open(file, [{"id": 1, "x": 0.5}])
        writer.close()
        assert self.parse(file.getvalue()) == []

    def test_the_file_is_left_open(self) -> None:
        file = io.BytesIO()
        self.make_format().open(file, []).close()
        assert not file.closed
