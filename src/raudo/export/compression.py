"""Compressions of exported files: none, gzip, lz4 and (with the `zstd` extra) zstd.

Output is deterministic: the same bytes in give the same bytes out, with no name and no time inside
(gzip's mtime is 0), so that exports can be compared and named by their content.
"""

from __future__ import annotations

import io
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, BinaryIO, Protocol

from raudo.errors import MissingExtra

__all__ = ["COMPRESSIONS", "CompressedFile", "compression_of_suffix", "compressor"]


class Compressor(Protocol):
    def compress(self, data: Any, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Gzip:
    """One gzip member whose blocks are compressed apart, in threads where there is a pool.

    Each block ends at a whole byte and starts with the 32 KiB before it as its dictionary, so the
    stream is as any other, 0.1 % longer. The same bytes come out with threads and without.
    """

    BLOCK_BYTES, WINDOW_BYTES, LEVEL = 1 << 18, 1 << 15, 6

    def __init__(self, pool: Executor | None) -> None:
        self._pool = pool
        self._waiting = bytearray()
        self._before = b""
        self._sum, self._n_bytes = 0, 0
        self._running: deque[Future[bytes]] = deque()

    def compress(self, data: Any, /) -> bytes:
        self._waiting += data
        packed: list[bytes] = []
        while len(self._waiting) >= self.BLOCK_BYTES:
            block = bytes(memoryview(self._waiting)[: self.BLOCK_BYTES])
            del self._waiting[: self.BLOCK_BYTES]
            self._start(block, packed)
        return b"".join(packed)

    def _start(self, block: bytes, packed: list[bytes]) -> None:
        before, self._before = self._before, block[-self.WINDOW_BYTES :]
        if self._pool is None:
            packed.append(self._deflated(block, before, zlib.Z_SYNC_FLUSH))
        else:
            self._running.append(
                self._pool.submit(self._deflated, block, before, zlib.Z_SYNC_FLUSH)
            )
            if len(self._running) >= 8:
                packed.append(self._running.popleft().result())
        self._sum = zlib.crc32(block, self._sum)
        self._n_bytes += len(block)

    def _deflated(self, block: bytes, before: bytes, end: int) -> bytes:
        deflate = zlib.compressobj(self.LEVEL, zlib.DEFLATED, -15, zdict=before)
        return deflate.compress(block) + deflate.flush(end)

    def flush(self) -> bytes:
        packed = [each.result() for each in self._running]
        last = bytes(self._waiting)
        packed.append(self._deflated(last, self._before, zlib.Z_FINISH))
        n_bytes = (self._n_bytes + len(last)) & 0xFFFF_FFFF
        return b"".join(
            (
                *packed,
                zlib.crc32(last, self._sum).to_bytes(4, "little"),
                n_bytes.to_bytes(4, "little"),
            )
        )


def _gzip(pool: Executor | None) -> tuple[Compressor, bytes]:
    # RFC 1952: deflate, no flags, no time, no extra flags, unknown system.
    return _Gzip(pool), b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def _lz4(pool: Executor | None) -> tuple[Compressor, bytes]:
    import lz4.frame

    frame = lz4.frame.LZ4FrameCompressor()
    return frame, frame.begin()


def _zstd(pool: Executor | None) -> tuple[Compressor, bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("zstd compression", "zstd") from error
    return zstandard.ZstdCompressor(level=3).compressobj(), b""


_MAKERS: dict[str, Callable[[Executor | None], tuple[Compressor, bytes]]] = {
    "gzip": _gzip,
    "lz4": _lz4,
    "zstd": _zstd,
}
_SUFFIXES = {".gz": "gzip", ".lz4": "lz4", ".zst": "zstd"}
COMPRESSIONS = ("none", *_MAKERS)


def compression_of_suffix(suffix: str) -> str | None:
    """Return the compression that a file suffix such as `.gz` stands for."""
    return _SUFFIXES.get(suffix)


def compressor(name: str, pool: Executor | None = None) -> tuple[Compressor, bytes]:
    """Return a fresh compressor, which may use the pool, and what its stream starts with."""
    return _MAKERS[name](pool)


class CompressedFile(io.RawIOBase):
    """A write-only file that compresses into another one, which it does not close.

    Nothing is written when it is merely garbage-collected: a stream is complete after `finish`, and
    an abandoned one is abandoned in silence.
    """

    def __init__(self, file: BinaryIO, name: str, pool: Executor | None = None) -> None:
        self._compressor, start = compressor(name, pool)
        self._file, self._taken = file, 0
        if start:
            file.write(start)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        n_bytes = memoryview(data).nbytes
        packed = self._compressor.compress(data)
        if packed:
            self._file.write(packed)
        self._taken += n_bytes
        return n_bytes

    def tell(self) -> int:
        return self._taken

    def finish(self) -> None:
        """Write the end of the stream."""
        self._file.write(self._compressor.flush())
        self.close()
