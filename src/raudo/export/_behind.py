"""A file that is written by another thread, a few megabytes behind the one that fills it.

So encoding, which holds the interpreter lock, overlaps with compressing, hashing and writing, which
do not.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from concurrent.futures import Executor
from typing import Any, BinaryIO

__all__ = ["Behind"]

# How much may wait before the thread that fills has to; and what is not worth a second thread.
WAITING_BYTES = 8 << 20
INLINE_BYTES = 1 << 20


class Behind(io.RawIOBase):
    """Hands bytes to a thread of `pool` that writes them, in order, to `file`.

    `write` waits while too much is under way (back-pressure) and raises what an earlier write met;
    nothing is written after an error. What is written must not change until `flush`.
    """

    def __init__(self, file: BinaryIO, pool: Executor) -> None:
        self._file, self._pool, self._at = file, pool, 0
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._waiting_bytes, self._is_running = 0, False
        self._error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def write(self, data: Any, /) -> int:
        n_bytes = memoryview(data).nbytes
        self._at += n_bytes
        if self._at <= INLINE_BYTES:
            self._file.write(data)
            return n_bytes
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_bytes < WAITING_BYTES or self._error)
            self._raise_error()
            self._waiting.append(data)
            self._waiting_bytes += n_bytes
            if not self._is_running:
                self._is_running = True
                self._pool.submit(self._drain)
        return n_bytes

    def _drain(self) -> None:
        """Write what waits until nothing does; runs in the other thread."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._is_running = False
                    self._changed.notify_all()
                    return
                data = self._waiting.popleft()
            error: BaseException | None = None
            try:
                self._file.write(data)
            except BaseException as caught:
                error = caught
            with self._changed:
                self._waiting_bytes -= memoryview(data).nbytes
                if error is not None:
                    self._error = error
                    self._drop_waiting()
                self._changed.notify_all()

    def _drop_waiting(self) -> None:
        self._waiting_bytes -= sum(memoryview(each).nbytes for each in self._waiting)
        self._waiting.clear()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until all is written."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running)
            self._raise_error()

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.flush()
        self._at = self._file.seek(offset, whence)
        return self._at

    def stop(self) -> None:
        """Drop what waits, and wait for the write that is under way."""
        with self._changed:
            self._drop_waiting()
            self._changed.wait_for(lambda: not self._is_running)
        self._error = self._error or ValueError("the file was dropped")

    def __del__(self) -> None:
        """Flush nothing, as `IOBase` would: an export that failed has said so."""
