"""Shared memory for large messages: anonymous files that both sides map.

The writer copies the parts of a message into a slot and sends its descriptor; the reader maps it
and sees them in place. Nothing has a name for longer than it takes to open it, so nothing can be
left behind: the kernel frees a slot with its last descriptor and mapping.

A slot whose message the reader has dropped, views and all, says so in its first word
(`_core.pages`) and is written again: its pages are there already, so the next message costs one
copy and no system call. A reader may keep what it got (an array that a worker remembers, a result
that the caller holds) for as long as it likes; the writer meanwhile takes another slot. Parts of
one message share a mapping: an array that is kept keeps the message that it came with.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

if sys.platform != "win32":
    from raudo._core.pages import ABANDONED, FREE, TAKEN, Lease, Pages, count_mapped, note_fork

__all__ = ["Placed", "SlotReader", "SlotWriter"]

_ALIGNMENT = 64  # of each part, and the length of the slot's head
_MAX_SLOTS = 64  # slots a writer keeps; a message that finds none free gets a slot of its own
_MAX_KEPT_BYTES = 128 << 20  # in all of them
_MAX_MAPPED = 16_384  # messages that this process holds mapped; what comes then is copied


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


def _paged(n_bytes: int) -> int:
    return -(-n_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _anonymous_file() -> int:
    """Open a file without a name: memfd where there is that, else a temporary file."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("raudo", os.MFD_CLOEXEC)
    fd, path = tempfile.mkstemp(prefix="raudo-")
    os.unlink(path)
    return fd


class Placed(NamedTuple):
    """Where a message's parts are. `fd` is -1 when the reader has the slot's descriptor already;
    `slot_id` 0 is a slot used once."""

    slot_id: int
    fd: int


class _Slot:
    """A file, and this side's mapping of what has been written to it so far."""

    __slots__ = ("fd", "n_bytes", "pages")

    def __init__(self) -> None:
        self.fd = _anonymous_file()
        self.n_bytes = 0
        self.pages: Pages | None = None

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)

    @property
    def state(self) -> int:
        if self.pages is None:
            self.pages = Pages(self.fd, self.n_bytes)
        return self.pages.state

    def write(self, parts: Sequence[memoryview]) -> None:
        """Fill the slot. `OSError` when there is no memory for it."""
        at = _ALIGNMENT
        if self.pages is not None:
            self.pages.state = TAKEN
        else:
            os.pwrite(self.fd, bytes(_ALIGNMENT), 0)  # `TAKEN`
        for part in parts:
            # Through the mapping only where there are pages: a write that finds no memory for one
            # is an error, an assignment that does is the end of the process. Writing new pages is
            # also twice as fast as mapping them empty first.
            mapped = 0 if self.pages is None else max(0, min(part.nbytes, self.n_bytes - at))
            if mapped and self.pages is not None:
                self.pages.write(at, part[:mapped])
            while mapped < part.nbytes:
                mapped += os.pwrite(self.fd, part[mapped:], at + mapped)
            at += _aligned(part.nbytes)
        if _paged(at) > self.n_bytes:
            self.n_bytes = _paged(at)
            os.ftruncate(self.fd, self.n_bytes)
            self.pages = None  # to be mapped as it is now, should it be written again


class SlotWriter:
    """The slots of one sending side. Used by one thread at a time."""

    def __init__(self) -> None:
        self._slots: dict[int, _Slot] = {}
        self._kept_bytes = 0
        self._once: _Slot | None = None

    def place(self, parts: Sequence[memoryview]) -> Placed | None:
        """Copy the parts into a slot; None if the system has no memory for it."""
        total = _paged(_ALIGNMENT + sum(_aligned(part.nbytes) for part in parts))
        slot_id = 0
        try:
            slot_id, is_new = self._choose(total)
            slot = _Slot() if is_new else self._slots[slot_id]
            before = slot.n_bytes
            slot.write(parts)
        except OSError:  # no memory, or no descriptor left: the socket takes the message
            self._forget(slot_id)
            return None
        if slot_id:
            self._slots[slot_id] = slot
            self._kept_bytes += slot.n_bytes - before
        else:
            self._once = slot
        return Placed(slot_id, slot.fd if is_new else -1)

    def _choose(self, total: int) -> tuple[int, bool]:
        """Return the slot to use, 0 for one of its own, and whether it is to be made."""
        states = {slot_id: slot.state for slot_id, slot in self._slots.items()}
        for slot_id, state in states.items():
            if state == ABANDONED:
                self._forget(slot_id)
        free = [slot_id for slot_id, state in states.items() if state == FREE]
        if free:
            # The smallest that is large enough, else the largest, which grows.
            sizes = {slot_id: self._slots[slot_id].n_bytes for slot_id in free}
            fit = [slot_id for slot_id in free if sizes[slot_id] >= total]
            found = min(fit, key=sizes.__getitem__) if fit else max(free, key=sizes.__getitem__)
            if self._kept_bytes + total - sizes[found] <= _MAX_KEPT_BYTES or fit:
                return found, False
        if len(self._slots) < _MAX_SLOTS and self._kept_bytes + total <= _MAX_KEPT_BYTES:
            return next(n for n in range(1, _MAX_SLOTS + 1) if n not in self._slots), True
        return 0, True

    def _forget(self, slot_id: int) -> None:
        slot = self._slots.pop(slot_id, None)
        if slot is not None:
            self._kept_bytes -= slot.n_bytes

    def sent(self) -> None:
        """Note that the descriptor is on its way; a slot used once is the reader's alone now."""
        self._once = None

    def close(self) -> None:
        self._once = None
        self._slots.clear()
        self._kept_bytes = 0


class SlotReader:
    """The slots that one receiving side knows. Used by one thread; views may die in any."""

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}
        self._pages: dict[int, Pages] = {}

    def views(self, slot_id: int, fd: int, lengths: Sequence[int]) -> list[memoryview]:
        """Return a view of each part. `fd` is -1 for a slot that has been met before.

        Raises:
            OSError: The message can be neither mapped nor read.
        """
        content = self._content(slot_id, fd, _ALIGNMENT + sum(map(_aligned, lengths)))
        views = []
        at = _ALIGNMENT
        for n_bytes in lengths:
            views.append(content[at : at + n_bytes])
            at += _aligned(n_bytes)
        return views

    def _content(self, slot_id: int, fd: int, n_bytes: int) -> memoryview:
        if slot_id == 0:
            try:
                pages = _mapped(fd, n_bytes)
                return _copied(fd, n_bytes) if pages is None else memoryview(Lease(pages))
            finally:
                os.close(fd)
        if fd >= 0:
            self._forget(slot_id)
            self._fds[slot_id] = fd
        pages = self._pages.get(slot_id)
        if pages is None or pages.n_bytes < n_bytes:
            fd = self._fds[slot_id]
            pages = _mapped(fd, os.fstat(fd).st_size)
            if pages is None:
                return _copied(fd, n_bytes)
            self._pages[slot_id] = pages
        return memoryview(Lease(pages))

    def _forget(self, slot_id: int) -> None:
        self._pages.pop(slot_id, None)
        fd = self._fds.pop(slot_id, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Forget the slots; views that are still held keep theirs."""
        for slot_id in list(self._fds):
            self._forget(slot_id)


def _mapped(fd: int, n_bytes: int) -> Pages | None:
    """Map a slot; None if there are too many mappings, for us or for the system."""
    if count_mapped() < _MAX_MAPPED:
        with contextlib.suppress(OSError):
            return Pages(fd, n_bytes)
    return None


def _copied(fd: int, n_bytes: int) -> memoryview:
    """Copy a slot's content and give the slot back."""
    content = memoryview(bytearray(n_bytes))
    done = 0
    while done < n_bytes and (n := os.preadv(fd, [content[done:]], done)):
        done += n  # the file may end before the last part's alignment does
    os.pwrite(fd, FREE.to_bytes(4, sys.byteorder), 0)
    return content


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=note_fork)
