"""Tags by generation stamps: invalidating one costs the same however many entries carry it.

An entry is stamped with the generation that each of its tags has when it is stored, and is valid
while none of them has moved on. The generations of invalidated tags are kept; all others have the
base generation. With a file they survive a restart: each invalidation is appended before it
returns. A file that does not check out starts a new base, so that no tagged entry from before is
believed.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo.cache._checks import iterable_of
from raudo.cache._forks import reset_after_fork

__all__ = ["Stamps", "TagGenerations", "checked_tags"]

Stamps: TypeAlias = tuple[tuple[str, int], ...]

_HEAD = struct.Struct("<8sQ")
_MAGIC = b"raudotag"
_ENTRY = struct.Struct("<IQH")  # crc of the rest, generation, length of the tag
# Beyond so many invalidated tags all tagged entries are taken for invalid, and counting starts
# anew: the table would otherwise grow with every tag that was ever used.
_MAX_TAGS = 1 << 17


def checked_tags(tags: Iterable[str]) -> Iterable[str]:
    """Return the tags without repetitions; TypeError or ValueError where they are none."""
    if isinstance(tags, str):
        raise TypeError(f"tags must be a collection of strings, got the string {tags!r}")
    named = dict.fromkeys(iterable_of("tags", tags, "a collection of strings"))
    for tag in named:
        if not isinstance(tag, str):
            raise TypeError(f"a tag must be a string, got {tag!r}")
        if len(tag) > 1024:
            raise ValueError(f"a tag must have at most 1,024 characters, got {len(tag)}")
    return named


class TagGenerations:
    """Which generation each tag is in. Thread-safe."""

    def __init__(self, path: Path | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = path
        self._pid = os.getpid()
        # Re-entrant: the garbage collector may run a finalizer within that comes back here.
        self._lock = threading.RLock()
        self._generations: dict[str, int] = {}
        # By the clock, so that a base that was lost is never taken a second time.
        self._base = self._last = clock.time_ns()
        self.errors = 0
        reset_after_fork(self)
        if path is not None and not self._load(path):
            self._rewrite()

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def stamp(self, tags: Iterable[str]) -> Stamps:
        """Return what an entry with these tags is stamped with now."""
        return tuple((tag, self._generations.get(tag, self._base)) for tag in checked_tags(tags))

    def is_current(self, stamps: Stamps) -> bool:
        """Say whether no tag has been invalidated since the stamps were made."""
        generations, base = self._generations, self._base
        return all(generations.get(tag, base) == generation for tag, generation in stamps)

    def invalidate(self, tag: str) -> None:
        """Make all entries that carry the tag invalid; O(1)."""
        if not isinstance(tag, str):
            raise TypeError(f"tag must be a string, got {tag!r}")
        with self._lock:
            self._last += 1
            self._generations[tag] = self._last
            if len(self._generations) > _MAX_TAGS:
                self._last += 1
                self._base = self._last
                self._generations.clear()
                self._rewrite()
            else:
                self._append(tag, self._last)

    def _load(self, path: Path) -> bool:
        try:
            data = path.read_bytes()
        except OSError:
            return False
        if len(data) < _HEAD.size or not data.startswith(_MAGIC):
            return False
        base = _HEAD.unpack_from(data)[1]
        found: dict[str, int] = {}
        at = _HEAD.size
        while at < len(data):
            if at + _ENTRY.size > len(data):
                return False
            crc, generation, size = _ENTRY.unpack_from(data, at)
            end = at + _ENTRY.size + size
            if end > len(data) or crc32(data[at + 4 : end], base & 0xFFFFFFFF) != crc:
                return False
            found[data[end - size : end].decode("utf-8", "surrogatepass")] = generation
            at = end
        self._base, self._generations = base, found
        self._last = max(self._last, base, *found.values()) if found else max(self._last, base)
        return True

    def _encode(self, tag: str, generation: int) -> bytes:
        name = tag.encode("utf-8", "surrogatepass")
        rest = _ENTRY.pack(0, generation, len(name))[4:] + name
        return struct.pack("<I", crc32(rest, self._base & 0xFFFFFFFF)) + rest

    def _append(self, tag: str, generation: int) -> None:
        self._write(os.O_APPEND, self._encode(tag, generation))

    def _rewrite(self) -> None:
        entries = (self._encode(tag, each) for tag, each in self._generations.items())
        self._write(os.O_TRUNC | os.O_CREAT, _HEAD.pack(_MAGIC, self._base) + b"".join(entries))

    def _write(self, flags: int, data: bytes) -> None:
        if self._path is None or self._pid != os.getpid():
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
            try:
                if os.write(fd, data) != len(data):
                    raise OSError("short write")
            finally:
                os.close(fd)
        except OSError:
            # Without the file the next start takes a new base: nothing tagged is believed then.
            self.errors += 1
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                self.errors += 1
