"""One append-only file of records.

Begins with a magic number and a random nonce. Nothing but a record's state byte is ever written
twice. What this process appended is read through a map of the file, which costs no system call;
what it found there when it opened the file is read by `pread`, which can say that it would have to
wait for the disk, and fails with an error where a map would end the process. Not thread-safe: its
tier holds a lock.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
import struct
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

from raudo._core.records import LENGTH_BITS, MAX_OFFSET, STATE_OFFSET, Records, Window, scan
from raudo.cache.tiers.blobs import BLOBS
from raudo.errors import CorruptEntry
from raudo.types import Blob

__all__ = ["FILE_HEAD_BYTES", "LENGTH_MASK", "RECORDS", "Segment", "offset_of"]

RECORDS = Records(BLOBS)
_DEAD = b"\0"
_FILE_HEAD = struct.Struct("<8sQ")
_FILE_MAGIC = b"raudosg2"
FILE_HEAD_BYTES = _FILE_HEAD.size
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
# Where the system cannot say whether a read would block, reads of up to a page are made anyway.
_SMALL_READ_BYTES = 4096
# Elsewhere no system promises that a map beyond a file's end shows what comes there later.
_HAS_WINDOWS = sys.platform == "linux"
LENGTH_MASK = (1 << LENGTH_BITS) - 1


def offset_of(place: int) -> int:
    """Return the offset of the record at this place, within its segment."""
    return (place >> LENGTH_BITS) & MAX_OFFSET


class Segment:
    """A file of records, its size, and the keys in the order they were written.

    `order` and `offsets` say which key each record has and where it begins; both may tell of
    records that were dropped since: 16 bytes an entry, where an exact set takes 60. `cursor` is
    how far entry-wise eviction has come. A record that moved to the end of the order, because it
    came back from a level above, is there twice, and `moved` has the position that counts.
    """

    __slots__ = (
        "cursor",
        "fd",
        "id",
        "live",
        "live_bytes",
        "moved",
        "nonce",
        "offsets",
        "order",
        "path",
        "pins",
        "size",
        "window",
    )

    def __init__(self, id: int, path: Path, fd: int, nonce: int, size: int) -> None:
        self.id, self.path, self.fd, self.nonce, self.size = id, path, fd, nonce, size
        self.order: list[bytes] = []
        self.offsets = array("Q")
        self.moved: dict[int, int] = {}  # offset -> position in the order
        self.cursor = 0
        self.live = 0
        self.live_bytes = 0
        self.pins = 0
        self.window: Window | None = None

    def note(self, key: bytes, offset: int) -> None:
        """Put a record at the end of the order."""
        self.order.append(key)
        self.offsets.append(offset)

    def move_to_end(self, key: bytes, offset: int) -> None:
        """Put a record at the end of the order that is in it already."""
        self.moved[offset] = len(self.order)
        self.note(key, offset)

    def next_in_order(self) -> tuple[bytes, int] | None:
        """Return key and offset of the next record for entry-wise eviction, and go past it."""
        while self.cursor < len(self.order):
            position = self.cursor
            self.cursor += 1
            offset = self.offsets[position]
            if self.moved.get(offset, position) == position:
                return self.order[position], offset
        return None

    def tidy(self, is_live: Callable[[bytes, int], bool]) -> None:
        """Take out of the order what is live no more, or counts at a later position."""
        order, offsets, cursor = self.order, self.offsets, self.cursor
        moved, self.moved = self.moved, {}
        self.order, self.offsets, self.cursor = [], array("Q"), 0
        for position, (key, offset) in enumerate(zip(order, offsets, strict=True)):
            if moved.get(offset, position) == position and is_live(key, offset):
                self.note(key, offset)
                self.cursor += position < cursor

    @classmethod
    def create(cls, id: int, path: Path) -> Segment:
        """Make a new file; `FileExistsError` where there is one."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        nonce = secrets.randbits(64)
        try:
            _write_all(fd, [_FILE_HEAD.pack(_FILE_MAGIC, nonce)], 0, FILE_HEAD_BYTES)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return cls(id, path, fd, nonce, FILE_HEAD_BYTES)

    @classmethod
    def open(cls, id: int, path: Path) -> Segment:
        """Open an existing file; `CorruptEntry` where it is not one of ours."""
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            head = os.pread(fd, FILE_HEAD_BYTES, 0) if stat.S_ISREG(status.st_mode) else b""
            if len(head) != FILE_HEAD_BYTES or not head.startswith(_FILE_MAGIC):
                raise CorruptEntry(f"{path} is not a segment file")
        except BaseException:
            os.close(fd)
            raise
        return cls(id, path, fd, _FILE_HEAD.unpack(head)[1], status.st_size)

    def scan(
        self, index: dict[bytes, int], expires: dict[bytes, int], superseded: list[int]
    ) -> tuple[int, int]:
        """Enter the live records; return the end of the last valid one, and how many are corrupt.

        After a record that does not check out, the search goes on at the next magic number. Old
        places of keys that are in the index already are appended to `superseded`.
        """
        if self.size <= FILE_HEAD_BYTES:
            return FILE_HEAD_BYTES, 0
        with mmap.mmap(self.fd, self.size, prot=mmap.PROT_READ) as data:
            offsets, self.live_bytes, end, n_corrupt = scan(
                data, FILE_HEAD_BYTES, self.nonce, self.id, index, expires, self.order, superseded
            )
        self.live = len(offsets)
        self.offsets = array("Q", offsets)
        return end, n_corrupt

    def show_from_here(self, capacity: int) -> None:
        """Have what is appended from now on, up to `capacity`, read without system calls."""
        if _HAS_WINDOWS and self.window is None and capacity > self.size:
            self.window = Window(self.fd, capacity, self.size, self.nonce)

    def append(self, key: bytes, meta: bytes, blob: Blob, length: int) -> int:
        """Write one record at the end and return its offset; on failure the file is as before."""
        offset = self.size
        head = RECORDS.seal(key, meta, blob, self.nonce, offset)
        try:
            _write_all(self.fd, [head, blob.payload], offset, length)
        except BaseException:
            # If even this fails, the next append starts at the same offset and overwrites it.
            os.ftruncate(self.fd, offset)
            raise
        self.size = offset + length
        if self.window is not None:
            self.window.show(offset, length)
        return offset

    def read(self, key: bytes, place: int, wait: bool) -> Blob:
        """Return the blob of a record; `BlockingIOError` where that would wait for the disk."""
        try:
            blob = NotImplemented
            if self.window is not None:
                blob = self.window.read(RECORDS, key, place)
            if blob is NotImplemented:
                offset = offset_of(place)
                data = self._read(offset, place & LENGTH_MASK, wait)
                blob = RECORDS.open(data, key, self.nonce, offset)
        except (IndexError, struct.error, UnicodeError) as error:
            raise CorruptEntry("the meta data of a record on disk do not parse") from error
        if blob is None:
            raise CorruptEntry("a record on disk does not check out")
        found: Blob = blob
        return found

    def _read(self, offset: int, length: int, wait: bool) -> bytes | bytearray:
        if not wait:
            data = bytearray(length)
            try:
                n = os.preadv(self.fd, [data], offset, _RWF_NOWAIT) if _RWF_NOWAIT else -1
            except BlockingIOError:
                raise
            except OSError:  # a file system that knows no such reads
                n = -1
            if n == length:
                return data
            if n >= 0 or length > _SMALL_READ_BYTES:
                raise BlockingIOError
        return os.pread(self.fd, length, offset)

    def kill(self, offset: int) -> None:
        """Mark a record as dropped, in place: that needs no space on the disk."""
        os.pwrite(self.fd, _DEAD, offset + STATE_OFFSET)

    def empty(self) -> None:
        """Cut the file to nothing; who reads it gets nothing that checks out."""
        self._hide()
        os.ftruncate(self.fd, 0)

    def _hide(self) -> None:
        if self.window is not None:
            self.window.close()

    def close(self) -> None:
        self._hide()
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


def _write_all(fd: int, parts: list[bytes], offset: int, wanted: int) -> None:
    written = os.pwritev(fd, parts, offset)
    if written < wanted:  # a disk that fills up first writes short, then says why
        rest = memoryview(b"".join(parts))
        while written < wanted:
            written += os.pwrite(fd, rest[written:], offset + written)
