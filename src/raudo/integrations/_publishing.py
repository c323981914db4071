"""One file of a publication: its name by content, and its way to the store."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from raudo.errors import ExportError, MissingExtra
from raudo.export._part import as_export_error
from raudo.export.compression import CompressedFile
from raudo.export.sinks import scheme_of
from raudo.export.sinks.file import FileSink
from raudo.integrations._media_types import is_text, media_type
from raudo.types import Sink

__all__ = ["IMMUTABLE", "Job", "PublishedFile", "Store", "checked_keys"]

IMMUTABLE = "public, max-age=31536000, immutable"
_FEWEST_BYTES = 1024  # what is smaller goes in one packet anyway
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 3  # at a file that changes while it is sent
_KEY = re.compile(r"[!-~]+")


def checked_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Return surrogate keys in order, each once; they travel in one header, between spaces."""
    if isinstance(keys, str):
        raise TypeError(f"keys is the text {keys!r}, a list of texts is wanted")
    found = tuple(sorted(set(keys)))
    for key in found:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"keys has {key!r}, printable ASCII without spaces is wanted")
    return found


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file as the manifest describes it."""

    object: str
    """Where it is, from the folder that was published to."""
    bytes: int
    """As sent: compressed, where `encoding` says so."""
    sha256: str
    """Of the file itself."""
    type: str
    encoding: str | None
    keys: tuple[str, ...] = ()

    @classmethod
    def of_json(cls, plain: dict[str, Any]) -> PublishedFile:
        return cls(**plain | {"keys": tuple(plain["keys"])})

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"keys": list(self.keys)}


class Store:
    """A folder on a file system of fsspec."""

    def __init__(self, url: str, options: Mapping[str, Any] | None) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise MissingExtra("publishing", "s3") from error
        self._url = url.rstrip("/")
        self.keeps_headers = scheme_of(url) in ("s3", "s3a")
        with as_export_error(url):
            self._system, root = url_to_fs(self._url, **options or {})
        self._root = root.rstrip("/")

    def url_of(self, name: str) -> str:
        return f"{self._url}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return what an object holds; None where there is none."""
        with as_export_error(self.url_of(name)):
            try:
                return cast(bytes, self._system.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

    def sizes(self) -> dict[str, int]:
        """Return the size of every object, by name."""
        with as_export_error(self._url):
            self._system.invalidate_cache(self._root)
            found = self._system.find(self._root, detail=True)
        skipped = len(self._root) + 1
        return {path[skipped:]: each["size"] for path, each in found.items()}

    def sink(self, name: str, headers: Mapping[str, str]) -> tuple[Sink, str]:
        """Return a sink for an object, and its place there."""
        place = f"{self._root}/{name}"
        if self.keeps_headers:
            from raudo.export.sinks.s3 import S3Sink

            return S3Sink(headers=headers, system=self._system), place
        with as_export_error(self.url_of(name)):
            self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
        if scheme_of(self._url) is None:
            return FileSink(), place
        from raudo.export.sinks.fsspec import FsspecSink

        return FsspecSink(system=self._system), place

    def write_manifest(self, name: str, text: bytes, max_age: int) -> None:
        headers = {
            "Cache-Control": f"public, max-age={max_age}, must-revalidate",
            "Content-Type": "application/json",
        }
        sink, place = self.sink(name, headers)
        with as_export_error(self.url_of(name)), _whole(sink, place) as target:
            target.write(text)


@contextlib.contextmanager
def _whole(sink: Sink, place: str) -> Any:
    """Give a file that gets its place when all went well, and is dropped else."""
    try:
        with contextlib.closing(sink.open(place)) as target:
            yield target
        sink.commit(place)
    except BaseException:
        with contextlib.suppress(Exception):  # must not hide why
            sink.abort(place)
        raise


class _HasChanged(Exception):
    """The file is no more what its name was made of."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to publish, and how. `encoding` is one of `publish`'s."""

    name: str
    path: Path
    encoding: str
    types: Mapping[str, str]
    keys: tuple[str, ...]

    def run(
        self, store: Store, before: PublishedFile | None, there: Mapping[str, int]
    ) -> tuple[PublishedFile, bool]:
        """See to it that the file is there; return what it is, and whether it had to be sent.

        A file is read twice, for its name and to be sent. What differs the second time is dropped,
        and the file begun again.
        """
        for _ in range(_ATTEMPTS):
            with as_export_error(str(self.path)):
                file = self._named()
            known = there.get(file.object)
            is_whole = known is not None and (
                known == file.bytes
                if file.encoding is None
                else before is None or before.object != file.object or before.bytes == known
            )
            if known is not None and is_whole:
                return dataclasses.replace(file, bytes=known), False
            with contextlib.suppress(_HasChanged):
                return dataclasses.replace(file, bytes=self._send(store, file)), True
        raise ExportError(errno.EBUSY, "changes while it is published", str(self.path))

    def _named(self) -> PublishedFile:
        """Return the file with its size as it is, not compressed."""
        digest, size = hashlib.sha256(), 0
        with open(self.path, "rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        media = media_type(self.name, self.types)
        encoding = self.encoding
        if encoding == "auto":
            encoding = "gzip" if size >= _FEWEST_BYTES and is_text(media) else "none"
        encoded = None if encoding == "none" else encoding
        # All that a client gets goes into the name: under one name it never changes.
        served = [digest.hexdigest(), media, encoded or "", *self.keys]
        short = hashlib.sha256("\n".join(served).encode()).hexdigest()[:20]
        place = PurePosixPath(self.name)
        named = str(place.with_name(f"{place.stem}.{short}{place.suffix}"))
        return PublishedFile(named, size, digest.hexdigest(), media, encoded, self.keys)

    def _send(self, store: Store, file: PublishedFile) -> int:
        """Send the file and return how many bytes that were; `_HasChanged` if it is another."""
        headers = {"Cache-Control": IMMUTABLE, "Content-Type": file.type}
        if file.encoding is not None:
            headers["Content-Encoding"] = file.encoding
        if file.keys:
            headers["surrogate-key"] = " ".join(file.keys)
        digest, n_bytes = hashlib.sha256(), 0
        with as_export_error(str(self.path)), open(self.path, "rb") as source:
            sink, place = store.sink(file.object, headers)
            with as_export_error(store.url_of(file.object)), _whole(sink, place) as target:
                counted = _Counted(target)
                stream: Any = counted
                if file.encoding is not None:
                    stream = CompressedFile(cast(BinaryIO, counted), file.encoding)
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    stream.write(chunk)
                if file.encoding is not None:
                    stream.finish()
                if digest.hexdigest() != file.sha256:
                    raise _HasChanged
                n_bytes = counted.n_bytes
        return n_bytes


class _Counted:
    def __init__(self, file: Any) -> None:
        self._file, self.n_bytes = file, 0

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.n_bytes += memoryview(data).nbytes
        return memoryview(data).nbytes
