"""Opens trace files as streams of bytes, unpacked on the way: no large one is ever in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from raudo.errors import BadTrace, MissingExtra

__all__ = ["Report", "open_trace"]

Report = Callable[[int, int], object]
"""Told how many bytes of how many have been read."""

_CHUNK_BYTES = 1 << 18


def open_trace(file: Path, report: Report | None = None) -> io.BufferedReader[Any]:
    """Return what the file holds, unpacked by its name's last suffix.

    What cannot be unpacked is a `BadTrace` when it is read.
    """
    suffix = file.suffix.lower()
    raw = io.BufferedReader(_Counted(file, report), _CHUNK_BYTES)
    try:
        packed = _unpacker(suffix, raw)
    except BaseException:
        raw.close()
        raise
    if packed is None:
        return raw
    return io.BufferedReader(_Unpacked(file, raw, packed), _CHUNK_BYTES)


def _unpacker(suffix: str, raw: BinaryIO) -> Any:
    if suffix == ".gz":
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if suffix == ".bz2":
        import bz2

        return bz2.BZ2File(raw)
    if suffix == ".xz":
        import lzma

        return lzma.LZMAFile(raw)
    return _Zst(raw) if suffix == ".zst" else None


class _Counted(io.RawIOBase):
    def __init__(self, file: Path, report: Report | None) -> None:
        self._file = open(file, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._size = os.fstat(self._file.fileno()).st_size
        self._report = report
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int | None:
        n = self._file.readinto(buffer)
        self._n_read += n or 0
        if self._report is not None:
            self._report(self._n_read, self._size)
        return n

    def close(self) -> None:
        if hasattr(self, "_file"):  # not where it could not be opened
            self._file.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """Says of which file it was that could not be unpacked."""

    def __init__(self, file: Path, raw: BinaryIO, packed: Any) -> None:
        self._name, self._raw, self._packed = file, raw, packed
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._packed.read(len(buffer))
        except Exception as error:  # each library has its own; what they say is passed on
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BadTrace(
                f"{self._name}: cannot be decompressed after {self._n_read:,} bytes, not a whole "
                f"{self._name.suffix.lower()}: {error}"
            ) from error
        buffer[: len(data)] = data
        self._n_read += len(data)
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Zst:
    """Reads frame after frame; `zstandard`'s own reader takes a cut one for whole."""

    def __init__(self, raw: BinaryIO) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise MissingExtra("reading .zst files", "zstd") from error
        self._zstd: Any = zstandard.ZstdDecompressor()
        self._raw = raw
        self._frame: Any = None
        self._n_frames = 0
        self._packed = b""
        self._ready = memoryview(b"")

    def read(self, n: int) -> memoryview:
        while not self._ready:
            data = self._packed or self._raw.read(_CHUNK_BYTES // 4)
            if not data:
                if self._frame is not None:
                    raise ValueError(f"frame {self._n_frames} is cut off")
                return memoryview(b"")
            if self._frame is None:
                self._frame = self._zstd.decompressobj()
                self._n_frames += 1
            self._ready = memoryview(self._frame.decompress(data))
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        found, self._ready = self._ready[:n], self._ready[n:]
        return found
