"""Both sinks keep the sink contract; where a path goes, and what happens without fsspec."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from raudo.errors import MissingExtra
from raudo.export import export
from raudo.export.sinks import sink_for
from raudo.export.sinks.file import FileSink
from raudo.export.sinks.fsspec import FsspecSink
from raudo.testing import SinkContract


class TestFileSink(SinkContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_sink(self) -> FileSink:
        return FileSink()

    def location(self, name: str) -> str:
        return str(self.folder / name)

    def read(self, location: str) -> bytes | None:
        path = Path(location)
        return path.read_bytes() if path.exists() else None

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def test_a_folder_is_refused(self) -> None:
        with pytest.raises(IsADirectoryError):
            FileSink().open(str(self.folder))

    def test_a_link_stays_a_link(self) -> None:
        (self.folder / "real").write_bytes(b"old")
        os.symlink("real", self.folder / "link")
        self._put(FileSink(), self.location("link"), b"new")
        assert (self.folder / "link").is_symlink()
        assert (self.folder / "real").read_bytes() == b"new"

    def test_the_file_has_the_usual_permissions(self) -> None:
        (self.folder / "plain").write_bytes(b"")
        self._put(FileSink(), self.location("a.bin"), b"")
        modes = [(self.folder / name).stat().st_mode for name in ("plain", "a.bin")]
        assert modes[0] == modes[1]

    def test_a_file_that_is_replaced_keeps_its_permissions(self) -> None:
        private = self.folder / "private"
        private.write_bytes(b"old")
        for mode in (0o600, 0o640, 0o200):
            private.chmod(mode)
            self._put(FileSink(), self.location("private"), b"new")
            assert private.stat().st_mode & 0o777 == mode


class TestFsspecSink(SinkContract):
    @pytest.fixture(autouse=True)
    def _memory(self, request: pytest.FixtureRequest) -> Iterator[None]:
        # One store for the whole process: each test has a folder of its own in it.
        self.folder = f"/{abs(hash(request.node.nodeid)):x}-{os.urandom(4).hex()}"
        self.system = fsspec.filesystem("memory")
        self.system.makedirs(self.folder)
        yield
        self.system.rm(self.folder, recursive=True)

    def make_sink(self) -> FsspecSink:
        return FsspecSink()

    def location(self, name: str) -> str:
        return f"memory:/{self.folder}/{name}"

    def read(self, location: str) -> bytes | None:
        path = location.removeprefix("memory:/")
        return self.system.cat_file(path) if self.system.exists(path) else None

    def names(self) -> list[str]:
        return sorted(each.rpartition("/")[2] for each in self.system.ls(self.folder, detail=False))


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("rows.csv", FileSink, "rows.csv"),
        ("/a/rows.csv", FileSink, "/a/rows.csv"),
        ("file:///a/rows.csv", FileSink, "/a/rows.csv"),
        ("memory://rows.csv", FsspecSink, "memory://rows.csv"),
        ("simplecache::memory://rows.csv", FsspecSink, "simplecache::memory://rows.csv"),
        ("12:30/rows.csv", FileSink, "12:30/rows.csv"),
    ],
)
def test_scheme_chooses_the_sink(path: str, kind: type, place: str) -> None:
    sink, given = sink_for(path)
    assert type(sink) is kind
    assert given == place


def test_url_without_fsspec_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtra, match=r"raudo\[s3\]"):
        export([{"a": 1}], "memory://rows.csv")


def test_plugged_sink_goes_before_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> type:
            return FileSink

    asked: list[dict[str, str]] = []

    def entry_points(**query: str) -> list[Point]:
        asked.append(query)
        return [Point()]

    monkeypatch.setattr("raudo.export.sinks.entry_points", entry_points)
    sink, place = sink_for("mine://rows.csv")
    assert (type(sink), place) == (FileSink, "mine://rows.csv")
    assert asked == [{"group": "raudo.sinks", "name": "mine"}]


def test_missing_folder_is_an_export_error_with_its_errno(tmp_path: Path) -> None:
    from raudo.errors import ExportError

    with pytest.raises(ExportError) as caught:
        export([{"a": 1}], tmp_path / "none" / "rows.csv")
    assert caught.value.errno == errno.ENOENT
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
