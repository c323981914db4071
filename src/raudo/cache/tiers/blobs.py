"""What the levels' compiled stores are told about blobs: how codec and tags are written.

The length of the codec's name and the name, then for each tag the length of its name, its
generation and its name.
"""

from __future__ import annotations

import struct

from raudo._core.blobs import Blobs
from raudo.types import Blob

__all__ = ["BLOBS", "META_OF_PACKED", "META_OF_PLAIN"]

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


def _decode_meta(meta: bytes) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return codec and tags; `IndexError`, `struct.error` or `UnicodeError` for what is neither."""
    at = 1 + meta[0]
    codec = meta[1:at].decode("ascii")
    tags = []
    while at < len(meta):
        size, generation = _TAG.unpack_from(meta, at)
        at += _TAG.size
        tags.append((meta[at : at + size].decode("utf-8", "surrogatepass"), generation))
        at += size
    return codec, tuple(tags)


# Of blobs whose values the compiled reader of plain pickles may make.
META_OF_PLAIN = _encode_meta(Blob(b"", "plain", 0))
META_OF_PACKED = _encode_meta(Blob(b"", "plain+lz4", 0))
BLOBS = Blobs(Blob, _encode_meta, _decode_meta)
