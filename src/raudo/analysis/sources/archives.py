"""Zip and tar archives, read member by member and never unpacked to disk.

An archive may be hostile: what it says of itself is not believed. Each member is read up to the
limit of a document, and all members together up to `MAX_RATIO` times the size of the archive (a
quarter of a GiB in any case), so that a bomb ends early. Archives within archives stay closed.
Whatever is damaged, cut short, encrypted or named to lead elsewhere is counted, and what came
before it counts.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

from raudo.analysis.sources.lines import MAX_DOCUMENT_BYTES, TOO_LARGE
from raudo.analysis.sources.tally import Tally

__all__ = ["ARCHIVE_SUFFIXES", "COMPRESSED", "DAMAGED", "BombError", "members", "opened"]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_RATIO = 200
_LEAST_BYTES = 256 << 20


def _gunzip(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file)


_OPENERS: dict[str, Any] = {".gz": _gunzip, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
COMPRESSED = frozenset(_OPENERS)
# What the decompressors raise for bytes that are not theirs, or that end too early.
DAMAGED = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


class BombError(Exception):
    """An archive unpacks to more than its size allows."""


class _Metered:
    """A file that may give so many bytes and no more."""

    def __init__(self, file: IO[bytes], allowed: int) -> None:
        self._file, self._left = file, allowed

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise BombError
        return data


def opened(file: BinaryIO, suffix: str) -> BinaryIO:
    """Return a file of lines that is compressed by `suffix` as the lines it holds."""
    plain: BinaryIO = _OPENERS[suffix](file)
    return plain


def members(
    file: BinaryIO, size_bytes: int, suffix: str, name: str, tally: Tally
) -> Iterator[tuple[str, bytes]]:
    """Yield (name in the archive, content) of each member that is a file of a document's size."""
    allowed = max(_LEAST_BYTES, MAX_RATIO * size_bytes)
    found = (
        _zip_members(file, allowed, name, tally)
        if suffix == ".zip"
        else _tar_members(file, allowed, name, tally)
    )
    try:
        yield from found
    except BombError:
        tally.skip(f"unpacks to more than {allowed >> 20:,} MiB, the rest was left", name)


def _unsafe(member: str) -> bool:
    """Say whether a name would lead out of the folder that the archive was unpacked in."""
    plain = member.replace("\\", "/")
    return plain.startswith("/") or ".." in plain.split("/") or plain[1:2] == ":"


def _wanted(member: str, place: str, tally: Tally) -> bool:
    if _unsafe(member):
        tally.skip("name leads out of the archive", place)
        return False
    if any(part.startswith(".") and part != "." for part in member.split("/")):
        tally.skip("hidden", place)
        return False
    if member.lower().endswith((*ARCHIVE_SUFFIXES, ".7z", ".rar")):
        tally.skip("archive in an archive", place)
        return False
    return True


def _zip_members(
    file: BinaryIO, allowed: int, name: str, tally: Tally
) -> Iterator[tuple[str, bytes]]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, *DAMAGED, RuntimeError):
        tally.skip("damaged", name)
        return
    with archive:
        for info in archive.infolist():
            place = f"{name}/{info.filename}"
            if info.is_dir() or not _wanted(info.filename, place, tally):
                continue
            if info.flag_bits & 1:
                tally.skip("encrypted", place)
                continue
            try:
                with archive.open(info) as member:
                    data = member.read(min(MAX_DOCUMENT_BYTES, allowed) + 1)
            except (zipfile.BadZipFile, *DAMAGED, RuntimeError):  # of another compression, too
                tally.skip("damaged", place)
                continue
            allowed -= len(data)
            if allowed < 0:
                raise BombError
            if len(data) > MAX_DOCUMENT_BYTES:
                tally.skip(TOO_LARGE, place)
                continue
            yield posixpath.normpath(info.filename), data


def _tar_members(
    file: BinaryIO, allowed: int, name: str, tally: Tally
) -> Iterator[tuple[str, bytes]]:
    head = file.read(6)
    file.seek(0)
    opener: Any = None
    for magic, kind in ((b"\x1f\x8b", ".gz"), (b"BZh", ".bz2"), (b"\xfd7zXZ\0", ".xz")):
        if head.startswith(magic):
            opener = _OPENERS[kind]
    metered = _Metered(opener(file) if opener else file, allowed)
    try:
        # As a stream: nothing is sought, so that the meter sees every byte.
        with tarfile.open(fileobj=cast(Any, metered), mode="r|") as archive:
            for info in archive:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                place = f"{name}/{info.name}"
                if info.isdir() or not _wanted(info.name, place, tally):
                    continue
                if not info.isreg():
                    tally.skip("not a regular file", place)
                    continue
                if info.size > MAX_DOCUMENT_BYTES:
                    tally.skip(TOO_LARGE, place)
                    continue
                member = archive.extractfile(info)
                data = member.read() if member is not None else b""
                if len(data) < info.size:
                    raise tarfile.ReadError("unexpected end of data")
                yield posixpath.normpath(info.name), data
    except (tarfile.TarError, *DAMAGED):
        tally.skip("damaged or cut short, the rest was left", name)
