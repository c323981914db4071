"""What the levels' compiled stores are told about blobs: how codec and tags are written.

The length of the codec's name and the name, then for each tag the length of its name, its
generation and its name.
"""

from __future__ import annotations

import struct

from raudo._core.blobs import Blobs
from raudo.types import Blob

__all__ = [
    "BLOBS",
    "LIGHT_BYTES",
    "META_OF_PACKED",
    "META_OF_PLAIN",
    "codec_of",
    "fields_of",
    "is_heavy",
]

_TAG = struct.Struct("<HQ")


def _encode_meta(blob: Blob) -> bytes:
    codec = blob.codec.encode("ascii")
    parts = [bytes([len(codec)]), codec]
    for tag, generation in blob.tags:
        name = tag.encode("utf-8", "surrogatepass")
        try:
            parts += (_TAG.pack(len(name), generation), name)
        except struct.error as error:
            raise ValueError(f"a tag of {len(name)} bytes does not fit a record") from error
    return b"".join(parts)


def codec_of(meta: bytes) -> str:
    """Return the codec that a blob's meta data begin with."""
    return meta[1 : 1 + meta[0]].decode("ascii")


def fields_of(blob: Blob) -> tuple[bytes, str, int, int, tuple[tuple[str, int], ...]]:
    """Return what a blob is made of, to make one of another kind."""
    return blob.payload, blob.codec, blob.raw_bytes, blob.expires_ns, blob.tags


def _decode_meta(meta: bytes) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return codec and tags; `IndexError`, `struct.error` or `UnicodeError` for what is neither."""
    codec, at, tags = codec_of(meta), 1 + meta[0], []
    while at < len(meta):
        size, generation = _TAG.unpack_from(meta, at)
        at += _TAG.size
        tags.append((meta[at : at + size].decode("utf-8", "surrogatepass"), generation))
        at += size
    return codec, tuple(tags)


# Values of so many bytes are made on the event loop: a thread costs 0.1 ms. A pickle of many small
# objects takes 15 ns a byte, 1 ms for this (python benchmarks/bench_cache_levels.py).
LIGHT_BYTES = 64 * 1024
# What is copied, unpacked or decoded alone takes 0.1 to 0.3 ms for so many times as many.
_EASE = {"bytes": 16, "bytes+lz4": 4, "str": 4, "str+lz4": 4}


def is_heavy(codec: str, raw_bytes: int) -> bool:
    """Say whether making the value of a blob should be left to a thread."""
    return raw_bytes > _EASE.get(codec, 1) * LIGHT_BYTES


# Of blobs whose values the compiled reader of plain pickles may make.
META_OF_PLAIN = _encode_meta(Blob(b"", "plain", 0))
META_OF_PACKED = _encode_meta(Blob(b"", "plain+lz4", 0))
BLOBS = Blobs(Blob, _encode_meta, _decode_meta)
