"""Compressors: lz4 blocks (the default) and zstd (extra `zstd`)."""

from __future__ import annotations

import threading
from typing import ClassVar

from raudo.errors import CorruptEntry, MissingExtra
from raudo.types import Codec

__all__ = ["Lz4Codec", "ZstdCodec", "compressor_named"]

# An lz4 block expands at most this much, so that a forged size cannot make us allocate at will.
_LZ4_MAX_RATIO = 255
_ZSTD_MAX_BYTES = 1 << 31


class Lz4Codec:
    """lz4 blocks without a size header: `Blob.raw_bytes` carries it. Thread-safe."""

    name: ClassVar[str] = "lz4"

    def __init__(self) -> None:
        import lz4.block

        self._compress = lz4.block.compress
        self._decompress = lz4.block.decompress

    def compress(self, data: bytes) -> bytes:
        packed: bytes = self._compress(data, store_size=False)
        return packed

    def decompress(self, data: bytes | memoryview, raw_bytes: int) -> bytes:
        if raw_bytes > (len(data) + 1) * _LZ4_MAX_RATIO:
            raise CorruptEntry(f"{len(data)} bytes of lz4 cannot hold {raw_bytes}")
        try:
            raw: bytes = self._decompress(data, uncompressed_size=raw_bytes)
        except Exception as error:
            raise CorruptEntry(f"lz4 block does not decompress: {error}") from error
        if len(raw) != raw_bytes:
            raise CorruptEntry(f"lz4 block holds {len(raw)} bytes, {raw_bytes} were stored")
        return raw


class ZstdCodec:
    """zstd frames; contexts are kept per thread, as the library asks."""

    name: ClassVar[str] = "zstd"

    def __init__(self, level: int = 1) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise MissingExtra("zstd compression", "zstd") from error
        self._library = zstandard
        self._level = level
        self._local = threading.local()

    def compress(self, data: bytes) -> bytes:
        context = getattr(self._local, "compressor", None)
        if context is None:
            context = self._library.ZstdCompressor(level=self._level)
            self._local.compressor = context
        packed: bytes = context.compress(data)
        return packed

    def decompress(self, data: bytes | memoryview, raw_bytes: int) -> bytes:
        context = getattr(self._local, "decompressor", None)
        if context is None:
            context = self._local.decompressor = self._library.ZstdDecompressor()
        try:
            size = self._library.get_frame_parameters(data).content_size
            if size != raw_bytes or raw_bytes > _ZSTD_MAX_BYTES:
                raise CorruptEntry(f"zstd frame of {size} bytes, {raw_bytes} were stored")
            raw: bytes = context.decompress(data)
        except self._library.ZstdError as error:
            raise CorruptEntry(f"zstd frame does not decompress: {error}") from error
        return raw


def compressor_named(name: str) -> Codec:
    """Return the compressor of this name; `ValueError` where there is none."""
    if name == "lz4":
        return Lz4Codec()
    if name == "zstd":
        return ZstdCodec()
    raise ValueError(f"compression must be True, False, 'lz4' or 'zstd', got {name!r}")
