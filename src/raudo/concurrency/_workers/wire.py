"""Messages between a process and its worker, over a stream socket.

A message is a header, a pickle (protocol 5) and the large buffers that the pickle refers to (array
data and the like), which are never copied into the pickle. Buffers travel through shared memory
(`slots`) where the system has `memfd_create`, else through the socket behind the pickle. The two
sides take turns: a request, then its reply.

    header   kind u8, flags u8, n_buffers u32, pickle_bytes u64, slot_id u32
    lengths  n_buffers x u64, the top bit says read-only
    pickle
    buffers  unless they are in a slot
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from raudo.concurrency._workers.slots import SlotReader, SlotWriter

__all__ = ["Channel", "ChannelClosed", "Encoded", "Message", "NeverRead", "encode"]

START, READY, TASK, RESULT, ERROR = range(1, 6)  # kinds of message
NEEDS_MAIN = 1  # flag: unpickling may look into `__main__`
_HAS_FD = 2  # flag: the slot is new, its descriptor comes along

_HEADER = struct.Struct("<BBIQI")
_READ_ONLY = 1 << 63
_SCRATCH_BYTES = 64 * 1024
_OUT_OF_BAND_BYTES = 16 * 1024  # smaller buffers are cheaper inside the pickle
_SLOT_BYTES = 128 * 1024  # less than this in all is cheaper through the socket
_MAX_PIECES = 512  # below IOV_MAX everywhere


class ChannelClosed(EOFError):
    """The other side is gone."""


class NeverRead(ChannelClosed):
    """The other side is gone and had not read the whole of the last message to it.

    Linux says so of a Unix socket: its end is a reset, not an end of file, while data is unread.
    """


class Encoded(NamedTuple):
    """An object ready to be sent: its pickle, and the buffers that stay outside it."""

    payload: bytes
    buffers: list[memoryview]


class Message(NamedTuple):
    kind: int
    flags: int
    payload: memoryview | bytearray
    buffers: list[Any]

    def load(self) -> Any:
        """Unpickle; the result may hold views of the buffers."""
        return pickle.loads(self.payload, buffers=self.buffers)


Dumps = Callable[..., bytes]


def encode(value: object, dumps: Dumps = pickle.dumps) -> Encoded:
    """Pickle `value`, leaving large contiguous buffers out of the pickle."""
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < _OUT_OF_BAND_BYTES:
            return True
        buffers.append(view)
        return False

    return Encoded(dumps(value, protocol=5, buffer_callback=keep_in_band), buffers)


class Channel:
    """One end of the socket. Used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._writer = SlotWriter() if hasattr(os, "memfd_create") else None
        self._reader = SlotReader()

    # --- sending ----------------------------------------------------------------------------

    def send(
        self, kind: int, message: Encoded, *, flags: int = 0, deadline: float | None = None
    ) -> None:
        """Send one message.

        Raises:
            ChannelClosed: The other side is gone.
            TimeoutError: `deadline` (monotonic seconds) passed.
        """
        payload, buffers = message
        slot_id, fd, inline = 0, -1, buffers
        if self._writer is not None and sum(view.nbytes for view in buffers) >= _SLOT_BYTES:
            placed = self._writer.place(buffers)
            if placed is not None:
                slot_id, fd, inline = placed.slot_id, placed.fd, []
        lengths = [view.nbytes | (_READ_ONLY if view.readonly else 0) for view in buffers]
        head = _HEADER.pack(
            kind, flags | (_HAS_FD if fd >= 0 else 0), len(buffers), len(payload), slot_id
        ) + struct.pack(f"<{len(lengths)}Q", *lengths)
        try:
            self._send_all([head, payload, *inline], fd, deadline)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NeverRead("the other side of a worker's socket is gone") from error
        finally:
            if fd >= 0 and self._writer is not None:
                self._writer.sent(slot_id)

    def _send_all(self, pieces: list[bytes | memoryview], fd: int, deadline: float | None) -> None:
        ancillary = []
        if fd >= 0:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        while pieces:
            try:
                sent = self.sock.sendmsg(pieces[:_MAX_PIECES], ancillary)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
                continue
            ancillary = []
            while pieces and sent >= len(pieces[0]):
                sent -= len(pieces.pop(0))
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]

    # --- receiving --------------------------------------------------------------------------

    def receive(self, deadline: float | None = None) -> Message:
        """Wait for one message. Raises as `send` does.

        The payload is valid until the next call.
        """
        scratch = memoryview(self._scratch)
        have, fds = self._receive_head(scratch, deadline)
        kind, flags, n_buffers, pickle_bytes, slot_id = _HEADER.unpack_from(scratch)
        body_at = _HEADER.size + 8 * n_buffers
        body_bytes = body_at + pickle_bytes
        data: memoryview = scratch
        if body_bytes > len(scratch):
            data = memoryview(bytearray(body_bytes))
            data[:have] = scratch[:have]
        if have < body_bytes:
            self._fill(data[have:body_bytes], deadline)
            have = body_bytes
        lengths = struct.unpack_from(f"<{n_buffers}Q", data, _HEADER.size)
        layout = [(length & ~_READ_ONLY, bool(length & _READ_ONLY)) for length in lengths]
        buffers: list[Any] = []
        if slot_id or fds:
            buffers = self._reader.views(slot_id, fds[0] if fds else -1, layout)
        else:
            extra = data[body_bytes:have]
            for n_bytes, read_only in layout:
                buffer = memoryview(bytearray(n_bytes))
                taken = min(len(extra), n_bytes)
                buffer[:taken] = extra[:taken]
                extra = extra[taken:]
                self._fill(buffer[taken:], deadline)
                buffers.append(buffer.toreadonly() if read_only else buffer)
        return Message(kind, flags, data[body_at:body_bytes], buffers)

    def _receive_head(self, scratch: memoryview, deadline: float | None) -> tuple[int, list[int]]:
        """Read at least the header into `scratch`; return the bytes read and a descriptor."""
        have = 0
        fds: list[int] = []
        while have < _HEADER.size:
            try:
                n, ancillary, _, _ = self.sock.recvmsg_into([scratch[have:]], socket.CMSG_SPACE(4))
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except ConnectionResetError as error:
                raise NeverRead("the other side of a worker's socket is gone") from error
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.append(struct.unpack("i", content)[0])
            if n == 0:
                raise ChannelClosed("the other side of a worker's socket is gone")
            have += n
        return have, fds

    def _fill(self, view: memoryview, deadline: float | None) -> None:
        while view.nbytes:
            try:
                n = self.sock.recv_into(view)
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except ConnectionResetError as error:
                raise NeverRead("the other side of a worker's socket is gone") from error
            if n == 0:
                raise ChannelClosed("the other side of a worker's socket is gone")
            view = view[n:]

    def is_hung_up(self) -> bool:
        """Say whether the other side is known to be gone."""
        self._poll.modify(self.sock, 0)
        return bool(self._poll.poll(0))

    def _wait(self, event: int, deadline: float | None) -> None:
        self._poll.modify(self.sock, event)
        if deadline is None:
            self._poll.poll()
            return
        left = deadline - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise TimeoutError("the deadline of a message passed")

    def close(self) -> None:
        """Close the socket and the slots; views that were handed out stay valid."""
        with contextlib.suppress(OSError):
            self.sock.close()
        if self._writer is not None:
            self._writer.close()
        self._reader.close()
