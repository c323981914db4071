"""One entry as bytes in a segment file.

    magic 4 | state 1 | version 1 | meta length 2 | key length 4 | payload length 4 |
    raw bytes 8 | expires_ns 8 | payload crc 4 | head crc 4 | key | meta | payload

Little endian. The head crc covers everything before it (the state as LIVE), the key, the meta and a
seed made of the segment's nonce and the record's offset, so that a record is valid in its own place
alone: bytes of a segment that someone cached as a value, or moved, are never taken for a record.
The state byte is not covered: an entry is dropped by overwriting it in place.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from raudo.errors import CorruptEntry
from raudo.types import Blob

__all__ = ["DEAD", "HEAD_BYTES", "LIVE", "MAGIC", "Head", "decode", "encode", "parse_head"]

MAGIC = b"rdo\xf1"
LIVE, DEAD = 0xA5, 0x00
STATE_OFFSET = 4
_VERSION = 1
_HEAD = struct.Struct("<4sBBHIIQQI")
_WHOLE_HEAD = struct.Struct("<4sBBHIIQQII")
_CRC = struct.Struct("<I")
_SEED = struct.Struct("<QQ")
_TAG = struct.Struct("<HQ")
_FIXED_BYTES = _HEAD.size
HEAD_BYTES = _HEAD.size + _CRC.size
MAX_PAYLOAD_BYTES = (1 << 32) - 1


class Head(NamedTuple):
    """What a record says of itself; its crc was checked."""

    is_live: bool
    key: bytes
    meta: bytes
    payload_bytes: int
    raw_bytes: int
    expires_ns: int
    payload_crc: int
    length: int


def seed_of(nonce: int, offset: int) -> int:
    """Return what the head crc of a record at this place starts from."""
    return crc32(_SEED.pack(nonce, offset))


def _encode_meta(blob: Blob) -> bytes:
    codec = blob.codec.encode("ascii")
    parts = [bytes([len(codec)]), codec]
    for tag, generation in blob.tags:
        name = tag.encode("utf-8", "surrogatepass")
        parts += (_TAG.pack(len(name), generation), name)
    return b"".join(parts)


def _decode_meta(meta: bytes) -> tuple[str, tuple[tuple[str, int], ...]]:
    at = 1 + meta[0]
    codec = meta[1:at].decode("ascii")
    tags = []
    while at < len(meta):
        size, generation = _TAG.unpack_from(meta, at)
        at += _TAG.size
        tags.append((meta[at : at + size].decode("utf-8", "surrogatepass"), generation))
        at += size
    return codec, tuple(tags)


def encode(key: bytes, blob: Blob) -> tuple[bytes, bytes]:
    """Return the head without its crc, and key and meta; `ValueError` for what does not fit."""
    meta = _encode_meta(blob)
    payload = blob.payload
    if len(meta) > 0xFFFF or len(payload) > MAX_PAYLOAD_BYTES or len(key) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"a record holds 65,535 bytes of tags and 4 GiB of payload, got {len(meta)} and "
            f"{len(payload)}"
        )
    fixed = _HEAD.pack(
        MAGIC,
        LIVE,
        _VERSION,
        len(meta),
        len(key),
        len(payload),
        blob.raw_bytes,
        blob.expires_ns,
        crc32(payload),
    )
    return fixed, key + meta


def seal(fixed: bytes, key_and_meta: bytes, seed: int) -> bytes:
    """Put the parts and the crc for one place together; the payload follows."""
    return b"".join((fixed, _CRC.pack(crc32(key_and_meta, crc32(fixed, seed))), key_and_meta))


def parse_head(data: bytes | memoryview, at: int, seed: int) -> Head | None:
    """Return the head of the record at `at`; None where no valid one stands there."""
    if at + HEAD_BYTES > len(data):
        return None
    fixed = bytes(data[at : at + _FIXED_BYTES])
    magic, state, version, n_meta, n_key, n_payload, raw, expires_ns, crc = _HEAD.unpack(fixed)
    if magic != MAGIC or version != _VERSION:
        return None
    start = at + HEAD_BYTES
    key_and_meta = bytes(data[start : start + n_key + n_meta])
    if len(key_and_meta) != n_key + n_meta:
        return None
    if state != LIVE:
        fixed = b"%b%c%b" % (fixed[:STATE_OFFSET], LIVE, fixed[STATE_OFFSET + 1 :])
    (expected,) = _CRC.unpack_from(data, at + _FIXED_BYTES)
    if crc32(key_and_meta, crc32(fixed, seed)) != expected:
        return None
    return Head(
        state == LIVE,
        key_and_meta[:n_key],
        key_and_meta[n_key:],
        n_payload,
        raw,
        expires_ns,
        crc,
        HEAD_BYTES + n_key + n_meta + n_payload,
    )


def decode(data: bytes | bytearray, key: bytes, seed: int) -> Blob:
    """Return the blob of a whole record; `CorruptEntry` unless everything checks out.

    The hot path of a read: as `parse_head`, but no part is copied other than the payload.
    """
    size = len(data)
    if size < HEAD_BYTES:
        raise CorruptEntry("a record on disk is cut short")
    magic, state, version, n_meta, n_key, n_payload, raw, expires_ns, crc, head_crc = (
        _WHOLE_HEAD.unpack_from(data)
    )
    key_end = HEAD_BYTES + n_key
    start = key_end + n_meta
    view = memoryview(data)
    if (
        magic != MAGIC
        or state != LIVE
        or version != _VERSION
        or start + n_payload != size
        or view[HEAD_BYTES:key_end] != key
        or crc32(view[HEAD_BYTES:start], crc32(view[:_FIXED_BYTES], seed)) != head_crc
    ):
        raise CorruptEntry("a record on disk does not check out")
    payload = bytes(view[start:])
    if crc32(payload) != crc:
        raise CorruptEntry("the payload of a record on disk does not check out")
    try:
        codec, tags = _decode_meta(bytes(view[key_end:start]))
    except (IndexError, struct.error, UnicodeError) as error:
        raise CorruptEntry("the meta data of a record on disk do not parse") from error
    return Blob(payload, codec, raw, expires_ns, tags)
