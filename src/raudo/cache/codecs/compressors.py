"""Compressors: lz4 blocks (the default) and zstd (extra `zstd`)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, ClassVar

from raudo.errors import CorruptEntry, MissingExtra
from raudo.memory.buffer_pool import SHARED_BUFFERS
from raudo.types import Codec

__all__ = ["Lz4Codec", "ZstdCodec", "compressor_named"]

# Under this many bytes lz4 gains nothing on real records (1.03 at 153 bytes of JSON), and the
# decompression would still be paid; with a dictionary zstd gains 3.4 there.
_MIN_BYTES = 256
_MIN_BYTES_WITH_DICTIONARY = 64
# An lz4 block expands at most this much, so that a forged size cannot make us allocate at will.
_LZ4_MAX_RATIO = 255
_ZSTD_MAX_BYTES = 1 << 31


class Lz4Codec:
    """lz4 blocks without a size header: `Blob.raw_bytes` carries it. Thread-safe."""

    name: ClassVar[str] = "lz4"
    min_bytes = _MIN_BYTES

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
    """zstd frames; contexts are kept per thread, as the library asks.

    Args:
        level: 1 (fastest) to 22.
        dictionary: What `trained` or `train_zstd` made, which small values of one kind shrink by. A
            frame names its dictionary: with another one, or none, it is a corrupt entry. Keep the
            bytes (`dictionary`) where entries outlive the process.
    """

    name: ClassVar[str] = "zstd"

    def __init__(self, level: int = 1, *, dictionary: bytes | None = None) -> None:
        library = _zstandard()
        if not 1 <= level <= 22:
            raise ValueError(f"level must be 1 to 22, got {level}")
        self.dictionary = dictionary
        self.min_bytes = _MIN_BYTES if dictionary is None else _MIN_BYTES_WITH_DICTIONARY
        self._library = library
        self._level = level
        self._dictionary: Any = None
        if dictionary is not None:
            self._dictionary = library.ZstdCompressionDict(
                dictionary, dict_type=library.DICT_TYPE_FULLDICT
            )
            try:
                self._dictionary.precompute_compress(level=level)
            except library.ZstdError as error:
                raise ValueError(f"dictionary: not one of zstd's ({error})") from error
        self._local = threading.local()

    @classmethod
    def trained(cls, samples: Iterable[bytes], *, size: int = 8192, level: int = 1) -> ZstdCodec:
        """Make a codec with a dictionary of `size` bytes, trained on serialised values.

        Some hundreds of samples do; `ValueError` where they are too few or too unlike.
        """
        library = _zstandard()
        try:
            trained = library.train_dictionary(size, list(samples), level=level)
        except library.ZstdError as error:
            raise ValueError(f"samples: no dictionary can be trained on them ({error})") from error
        return cls(level, dictionary=trained.as_bytes())

    def compress(self, data: bytes) -> bytes:
        context = getattr(self._local, "compressor", None)
        if context is None:
            context = self._library.ZstdCompressor(level=self._level, dict_data=self._dictionary)
            self._local.compressor = context
        packed: bytes = context.compress(data)
        return packed

    def decompress(self, data: bytes | memoryview, raw_bytes: int) -> bytes:
        context = self._context_for(data, raw_bytes)
        try:
            raw: bytes = context.decompress(data)
        except self._library.ZstdError as error:
            raise CorruptEntry(f"zstd frame does not decompress: {error}") from error
        return raw

    def decompress_shared(self, data: bytes | memoryview, raw_bytes: int) -> bytearray:
        """Do the same into a shared buffer, for who drops it soon: from 32 MB on that is faster."""
        context = self._context_for(data, raw_bytes)
        try:
            with (
                SHARED_BUFFERS.borrow_bytes(raw_bytes) as raw,
                context.stream_reader(data, closefd=False) as reader,
            ):
                if reader.readinto(raw) != raw_bytes:
                    raise CorruptEntry(f"zstd frame ends before its {raw_bytes} bytes")
        except self._library.ZstdError as error:
            raise CorruptEntry(f"zstd frame does not decompress: {error}") from error
        return raw

    def _context_for(self, data: bytes | memoryview, raw_bytes: int) -> Any:
        """Return what decompresses in this thread, once the frame's head says what was stored."""
        context = getattr(self._local, "decompressor", None)
        if context is None:
            context = self._local.decompressor = self._library.ZstdDecompressor(
                dict_data=self._dictionary
            )
        try:
            size = self._library.get_frame_parameters(data).content_size
        except self._library.ZstdError as error:
            raise CorruptEntry(f"zstd frame does not decompress: {error}") from error
        if size != raw_bytes or raw_bytes > _ZSTD_MAX_BYTES:
            raise CorruptEntry(f"zstd frame of {size} bytes, {raw_bytes} were stored")
        return context


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("zstd compression", "zstd") from error
    return zstandard


def compressor_named(name: str) -> Codec:
    """Return the compressor of this name; `ValueError` where there is none."""
    if name == "lz4":
        return Lz4Codec()
    if name == "zstd":
        return ZstdCodec()
    raise ValueError(f"compression must be True, False, 'lz4' or 'zstd', got {name!r}")
