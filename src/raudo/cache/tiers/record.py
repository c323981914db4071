"""One entry as bytes in a segment file: what stands in it besides the numbers.

The layout and its checksums are csrc/record/record.h's, made and checked by `raudo._core.records`.
The meta of a record is the length of the codec's name, the name, and for each tag the length of its
name, its generation and its name.
"""

from __future__ import annotations

import struct

from raudo._core.records import STATE_OFFSET, Records
from raudo.types import Blob

__all__ = ["DEAD", "RECORDS", "STATE_OFFSET"]

DEAD = b"\0"
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


RECORDS = Records(Blob, _encode_meta, _decode_meta)

