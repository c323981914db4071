"""Messages between a process and its worker, over a stream socket.

A message is a header, a pickle (protocol 5) and the large buffers that the pickle refers to (array
data and the like), which are never copied into the pickle. Large messages travel through shared
memory (`slots`), and only their header and lengths through the socket; the rest, and those for
which there is no memory, go through the socket whole. The two sides take turns: a request, then its
reply.

    header   kind u8, flags u8, n_buffers u32, pickle_bytes u64, slot_id u32
    lengths  n_buffers x u64, the top bit says read-only
    pickle   unless it is in a slot
    buffers  likewise
"""

from __future__ import annotations

import contextlib
import errno
import pickle
import select
import socket
import struct
import time
from typing import Any, NamedTuple

from raudo.concurrency._workers.pickling import Encoded
from raudo.concurrency._workers.slots import SlotReader, SlotWriter

__all__ = ["Channel", "ChannelClosed", "Message", "NeverRead"]

START, READY, TASK, RESULT, ERROR = range(1, 6)  # kinds of message
_IN_SLOT = 1  # flag: pickle and buffers are in the slot
_HAS_FD = 2  # flag: the slot is new, its descriptor comes along

_HEADER = struct.Struct("<BBIQI")
_READ_ONLY = 1 << 63
_SCRATCH_BYTES = 64 * 1024
_SLOT_BYTES = 128 * 1024  # less than this in all is cheaper through the socket
_MAX_PIECES = 512  # below IOV_MAX everywhere
_CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class ChannelClosed(EOFError):
    """The other side is gone."""


class NeverRead(ChannelClosed):
    """The other side is gone and had not read the whole of the last message to it.

    Linux says so of a Unix socket: its end is a reset, not an end of file, while data is unread.
    """


class Message(NamedTuple):
    """What came. It is valid until the next; what it loads to is for as long as that lives."""

    kind: int
    payload: memoryview
    buffers: list[memoryview]
    lost: OSError | None = None
    """Why the content did not come, if it did not."""

    def load(self) -> Any:
        """Unpickle; the result may hold views of the buffers."""
        if self.lost is not None:
            raise self.lost
        return pickle.loads(self.payload, buffers=self.buffers)


class Channel:
    """One end of the socket. Used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._writer = SlotWriter()
        self._reader = SlotReader()

    # --- sending ----------------------------------------------------------------------------

    def send(self, kind: int, message: Encoded, deadline: float | None = None) -> None:
        """Send one message.

        Raises:
            ChannelClosed: The other side is gone.
            TimeoutError: `deadline` (monotonic seconds) passed.
        """
        parts = [memoryview(message.payload), *message.buffers]
        flags, slot_id, fd = 0, 0, -1
        placed = None
        if sum(part.nbytes for part in parts) >= _SLOT_BYTES:
            placed = self._writer.place(parts)
        if placed is not None:
            slot_id, fd = placed
            flags = _IN_SLOT | (_HAS_FD if fd >= 0 else 0)
        lengths = [part.nbytes | (_READ_ONLY if part.readonly else 0) for part in message.buffers]
        head = _HEADER.pack(kind, flags, len(lengths), parts[0].nbytes, slot_id)
        if lengths:
            head += struct.pack(f"<{len(lengths)}Q", *lengths)
        try:
            self._send_all([head] if placed is not None else [head, *parts], fd, deadline)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NeverRead("the other side of a worker's socket is gone") from error
        finally:
            self._writer.sent()

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
        """Wait for one message. Raises as `send` does."""
        scratch = memoryview(self._scratch)
        have, fds = self._receive_head(scratch, deadline)
        kind, flags, n_buffers, pickle_bytes, slot_id = _HEADER.unpack_from(scratch)
        body_at = _HEADER.size + 8 * n_buffers
        body_bytes = body_at + (0 if flags & _IN_SLOT else pickle_bytes)
        data: memoryview = scratch
        if body_bytes > len(scratch):
            data = memoryview(bytearray(body_bytes))
            data[:have] = scratch[:have]
        if have < body_bytes:
            self._fill(data[have:body_bytes], deadline)
            have = body_bytes
        lengths = struct.unpack_from(f"<{n_buffers}Q", data, _HEADER.size)
        layout = [length & ~_READ_ONLY for length in lengths]
        if flags & _IN_SLOT:
            try:
                if flags & _HAS_FD and not fds:
                    raise OSError(errno.EMFILE, "no descriptor left to receive a message with")
                fd = fds[0] if fds else -1
                payload, *buffers = self._reader.views(slot_id, fd, [pickle_bytes, *layout])
            except OSError as lost:
                return Message(kind, scratch[:0], [], lost)
        else:
            payload, buffers = data[body_at:body_bytes], []
            extra = data[body_bytes:have]
            for n_bytes in layout:
                buffer = memoryview(bytearray(n_bytes))
                taken = min(len(extra), n_bytes)
                buffer[:taken] = extra[:taken]
                extra = extra[taken:]
                self._fill(buffer[taken:], deadline)
                buffers.append(buffer)
        for at, length in enumerate(lengths):
            if length & _READ_ONLY:
                buffers[at] = buffers[at].toreadonly()
        return Message(kind, payload, buffers)

    def _receive_head(self, scratch: memoryview, deadline: float | None) -> tuple[int, list[int]]:
        """Read at least the header into `scratch`; return the bytes read and a descriptor."""
        have = 0
        fds: list[int] = []
        while have < _HEADER.size:
            try:
                n, ancillary, _, _ = self.sock.recvmsg_into(
                    [scratch[have:]], socket.CMSG_SPACE(4), _CLOSED_ON_EXEC
                )
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
        self._writer.close()
        self._reader.close()
