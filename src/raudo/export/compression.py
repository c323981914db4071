"""Compressions of exported files: none, gzip, lz4 and (with the `zstd` extra) zstd.

Output is deterministic: the same bytes in give the same bytes out, with no name and no time inside
(gzip's mtime is 0), so that exports can be compared and named by their content.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from raudo.errors import MissingExtra

__all__ = ["COMPRESSIONS", "CompressedFile", "compression_of_suffix", "compressor"]


class Compressor(Protocol):
    def compress(self, data: Any, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _gzip() -> tuple[Compressor, bytes]:
    # wbits 31 is a gzip wrapper; zlib writes mtime 0 and no file name into it.
    return zlib.compressobj(6, zlib.DEFLATED, 31), b""


def _lz4() -> tuple[Compressor, bytes]:
    import lz4.frame

    frame = lz4.frame.LZ4FrameCompressor()
    return frame, frame.begin()


def _zstd() -> tuple[Compressor, bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("zstd compression", "zstd") from error
    return zstandard.ZstdCompressor(level=3).compressobj(), b""


_MAKERS: dict[str, Callable[[], tuple[Compressor, bytes]]] = {
    "gzip": _gzip,
    "lz4": _lz4,
    "zstd": _zstd,
}
_SUFFIXES = {".gz": "gzip", ".lz4": "lz4", ".zst": "zstd"}
COMPRESSIONS = ("none", *_MAKERS)


def compression_of_suffix(suffix: str) -> str | None:
    """Return the compression that a file suffix such as `.gz` stands for."""
    return _SUFFIXES.get(suffix)


def compressor(name: str) -> tuple[Compressor, bytes]:
    """Return a fresh compressor and the bytes that its stream starts with."""
    return _MAKERS[name]()


class CompressedFile(io.RawIOBase):
    """A write-only file that compresses into another one, which it does not close.

    Nothing is written when it is merely garbage-collected: a stream is complete after `finish`, and
    an abandoned one is abandoned in silence.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._compressor, start = compressor(name)
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
