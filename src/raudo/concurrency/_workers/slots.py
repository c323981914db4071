"""Shared memory for large buffers: anonymous files (memfd) that both sides can map.

The writer copies buffers into a slot and sends its descriptor; the reader maps them. Nothing has a
name, so nothing can be left behind: the kernel frees a slot with its last descriptor and mapping.

A slot's first byte says whether it is free. The writer clears it and writes; the reader sets it
when the last object that views the slot has died, whenever that is. So a reader may keep what it
got (an array that a worker remembers, a result that the caller holds) for as long as it likes; the
writer meanwhile takes another slot. Each buffer is mapped by itself, so that keeping one array of a
message does not keep the others.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Placed", "SlotReader", "SlotWriter"]

_FREE, _TAKEN = b"\1", b"\0"
_PAGE = mmap.ALLOCATIONGRANULARITY
_MAX_SLOTS = 4  # slots a writer reuses; a message that finds none free gets a slot of its own
_MAX_KEPT_BYTES = 64 << 20  # a larger slot is not reused: it would pin its pages
# Before 3.13 each mapping holds a descriptor. Past this many, buffers are copied out instead.
_MAX_MAPPINGS = 100_000 if sys.version_info >= (3, 13) else 128


def _pages(n_bytes: int) -> int:
    return -(-n_bytes // _PAGE) * _PAGE


# Re-entrant: views die by garbage collection too, inside any of this module's own steps.
_lock = threading.RLock()
_n_mappings = 0


class Placed(NamedTuple):
    """Where a message's buffers are. `fd` is -1 when the reader has the slot's descriptor already;
    `slot_id` 0 is a slot used once."""

    slot_id: int
    fd: int


class SlotWriter:
    """The slots of one sending side. Used by one thread at a time."""

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}
        self._one_off = -1

    def place(self, buffers: Sequence[memoryview]) -> Placed | None:
        """Copy the buffers into a slot; None if the system has no memory for it."""
        total = _PAGE + sum(_pages(view.nbytes) for view in buffers)
        new = False
        try:
            slot_id = 0 if total > _MAX_KEPT_BYTES else self._find_free()
            if slot_id in self._fds:
                fd = self._fds[slot_id]
            else:
                new = True
                fd = os.memfd_create("raudo", os.MFD_CLOEXEC)
            if slot_id:
                self._fds[slot_id] = fd
            else:
                self._one_off = fd
            os.pwrite(fd, _TAKEN, 0)
            at = _PAGE
            for view in buffers:
                written = 0
                while written < view.nbytes:
                    written += os.pwrite(fd, view[written:], at + written)
                at += _pages(view.nbytes)
            os.ftruncate(fd, max(at, os.fstat(fd).st_size))
        except OSError:  # no memory, or no descriptor left: the socket takes the buffers
            if new and slot_id in self._fds:
                os.close(self._fds.pop(slot_id))
            self.sent(0)
            return None
        return Placed(slot_id, fd if new else -1)

    def _find_free(self) -> int:
        for slot_id, fd in self._fds.items():
            if os.pread(fd, 1, 0) == _FREE:
                return slot_id
        return len(self._fds) + 1 if len(self._fds) < _MAX_SLOTS else 0

    def sent(self, slot_id: int) -> None:
        """Note that the descriptor is on its way; a slot used once is the reader's alone now."""
        if slot_id == 0 and self._one_off >= 0:
            os.close(self._one_off)
            self._one_off = -1

    def close(self) -> None:
        self.sent(0)
        while self._fds:
            os.close(self._fds.popitem()[1])


class _SlotFile:
    """A received slot: owns its descriptor, which lives as long as any view or the reader."""

    __slots__ = ("_n_views", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._n_views = 0

    def taken(self, n_views: int) -> None:
        with _lock:
            self._n_views += n_views

    def dropped(self) -> None:
        with _lock:
            self._n_views -= 1
            if self._n_views == 0:
                os.pwrite(self.fd, _FREE, 0)

    def __del__(self) -> None:
        os.close(self.fd)


class SlotReader:
    """The slots that one receiving side knows. Used by one thread; views may die in any."""

    def __init__(self) -> None:
        self._files: dict[int, _SlotFile] = {}

    def views(self, slot_id: int, fd: int, layout: Sequence[tuple[int, bool]]) -> list[memoryview]:
        """Return a view of each buffer of `layout` (bytes, read-only), mapped or copied out."""
        if fd >= 0:
            file = _SlotFile(fd)
            if slot_id:
                self._files[slot_id] = file
        else:
            file = self._files[slot_id]
        file.taken(len(layout))
        views = []
        at = _PAGE
        for n_bytes, read_only in layout:
            view = memoryview(self._content(file, at, n_bytes))
            views.append(view.toreadonly() if read_only else view)
            at += _pages(n_bytes)
        return views

    def _content(self, file: _SlotFile, at: int, n_bytes: int) -> Any:
        if _counted(1):
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
            if sys.version_info >= (3, 13):
                content = mmap.mmap(file.fd, n_bytes, flags=flags, offset=at, trackfd=False)
            else:
                content = mmap.mmap(file.fd, n_bytes, flags=flags, offset=at)
            weakref.finalize(content, _unmapped, file).atexit = False
            return content
        copy = bytearray(n_bytes)
        view = memoryview(copy)
        done = 0
        while done < n_bytes:
            done += os.preadv(file.fd, [view[done:]], at + done)
        file.dropped()
        return copy

    def close(self) -> None:
        """Forget the slots; views that are still held keep theirs."""
        self._files.clear()


def _counted(n: int) -> bool:
    """Count a mapping made (1) or gone (-1), unless there are too many."""
    global _n_mappings
    with _lock:
        if n > 0 and _n_mappings >= _MAX_MAPPINGS:
            return False
        _n_mappings += n
        return True


def _unmapped(file: _SlotFile) -> None:
    _counted(-1)
    file.dropped()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
