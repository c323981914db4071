"""Keys below L1: any hashable key becomes bytes, stable between processes and unambiguous.

Two keys get the same bytes exactly when a dictionary would take them for the same key: `1`, `1.0`,
`True` and `Decimal(1)` are one key, `"a"` and `b"a"` are two, a named tuple is its plain tuple.
Every item is a type tag and its content; items of a collection carry their length, so no two
different keys run together. A key that has no such form (an object with its own notion of
equality) raises `KeyEncodingError`: it can live in L1 only.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

__all__ = ["KeyEncodingError", "decode_key", "encode_key"]

_LENGTH = struct.Struct(">I")
_DOUBLE = struct.Struct(">d")
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class KeyEncodingError(TypeError):
    """The key has no stable form as bytes."""


def encode_key(key: Any) -> bytes:
    """Return the bytes that stand for `key`; `KeyEncodingError` where there are none."""
    kind = type(key)
    if kind is str:
        return b"s" + str.encode(key, "utf-8", "surrogatepass")
    if kind is int:
        return _encode_int(key)
    encode = _ENCODERS.get(kind)
    return encode(key) if encode is not None else _encode_other(key)


def _encode_int(key: int) -> bytes:
    # Hexadecimal beyond a machine word: decimal is quadratic, and refused above 4,300 digits.
    return b"i%d" % key if -(2**62) < key < 2**62 else f"x{key:x}".encode()


def _encode_real(key: Any) -> bytes:
    """Encode a float, Decimal or Fraction by its exact value, as `==` and `hash` compare them."""
    if key != key:
        raise KeyEncodingError("NaN equals no key, not even itself: it lives in L1 only")
    if isinstance(key, Decimal) and key.is_finite() and abs(key.adjusted()) > 4096:
        raise KeyEncodingError(
            f"a Decimal with the exponent {key.adjusted()} is too long for a key"
        )
    try:
        top, bottom = key.as_integer_ratio()
    except OverflowError:
        return b"f" + _DOUBLE.pack(float(key))
    if bottom == 1:
        return _encode_int(top)
    try:
        nearest = top / bottom
    except OverflowError:
        nearest = math.nan
    if nearest == nearest and nearest.as_integer_ratio() == (top, bottom):
        return b"f" + _DOUBLE.pack(nearest)
    return f"q{top:x}/{bottom:x}".encode()


def _encode_complex(key: complex) -> bytes:
    if key.imag == 0:
        return _encode_real(key.real)
    return b"c" + _join([_encode_real(key.real), _encode_real(key.imag)])


def _join(items: list[bytes]) -> bytes:
    parts: list[bytes] = []
    for item in items:
        parts.append(_LENGTH.pack(len(item)))
        parts.append(item)
    return b"".join(parts)


def _encode_tuple(key: tuple[Any, ...]) -> bytes:
    return b"t" + _join([encode_key(item) for item in key])


def _encode_frozenset(key: frozenset[Any]) -> bytes:
    return b"z" + _join(sorted(encode_key(item) for item in key))


def _encode_datetime(key: datetime) -> bytes:
    if key.utcoffset() is None:
        return b"D%d" % ((key.replace(tzinfo=None, fold=0) - _EPOCH) // _MICROSECOND)
    # Aware times are equal when the instants are, whatever the zone.
    return b"U%d" % ((key - _EPOCH_UTC) // _MICROSECOND)


def _encode_enum(key: Enum) -> bytes:
    kind = type(key)
    name = key.name
    if not isinstance(name, str) or kind.__members__.get(name) is not key:
        raise KeyEncodingError(f"{key!r} is not a named member of its enumeration")
    parts = (kind.__module__, kind.__qualname__, name)
    return b"e" + _join([part.encode() for part in parts])


def _encode_none(key: None) -> bytes:
    return b"n"


def _encode_bytes(key: bytes) -> bytes:
    return b"b" + key


def _encode_str(key: str) -> bytes:
    return b"s" + str.encode(key, "utf-8", "surrogatepass")


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    str: _encode_str,
    bytes: _encode_bytes,
    bool: _encode_int,
    int: _encode_int,
    float: _encode_real,
    complex: _encode_complex,
    type(None): _encode_none,
    tuple: _encode_tuple,
    frozenset: _encode_frozenset,
    datetime: _encode_datetime,
    date: lambda key: b"d%d" % key.toordinal(),
    timedelta: lambda key: b"T%d" % (key // _MICROSECOND),
    Decimal: _encode_real,
    Fraction: _encode_real,
    UUID: lambda key: b"u" + key.bytes,
    PurePosixPath: lambda key: b"p" + str(key).encode("utf-8", "surrogateescape"),
}


def _encode_other(key: Any) -> bytes:
    """Encode a subclass that compares as its base does, a NumPy scalar, a view, an Enum member."""
    kind: Any = type(key)
    for base, encode in _ENCODERS.items():
        if issubclass(kind, base) and _compares_as(kind, base):
            return encode(key)
    if isinstance(key, Enum) and kind.__eq__ is object.__eq__:
        return _encode_enum(key)
    if kind is memoryview:
        return b"b" + bytes(key)
    if kind.__module__ == "numpy" and hasattr(key, "item"):
        plain = key.item()  # datetime64 and longdouble give no plain number of equal hash
        if type(plain) in (int, float, bool, complex, str, bytes) and hash(plain) == hash(key):
            return encode_key(plain)
    raise KeyEncodingError(f"a key of type {kind.__qualname__} has no stable form as bytes")


def _compares_as(kind: Any, base: Any) -> bool:
    return kind.__eq__ is base.__eq__ and kind.__hash__ is base.__hash__


def decode_key(data: bytes) -> Hashable:
    """Return a key equal to the one that was encoded; `ValueError` for what is no encoded key."""
    try:
        return _DECODERS[data[:1]](data[1:])
    except (LookupError, AttributeError, struct.error, UnicodeError, OverflowError) as error:
        raise ValueError(f"not an encoded key: {data[:32]!r}") from error


def _split(data: bytes) -> list[bytes]:
    items, at = [], 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + size > len(data):
            raise ValueError("an item of the key is cut off")
        items.append(data[at : at + size])
        at += size
    return items


def _decode_ratio(data: bytes) -> Fraction:
    top, _, bottom = data.partition(b"/")
    return Fraction(int(top, 16), int(bottom, 16))


def _decode_complex(data: bytes) -> complex:
    real, imag = (decode_key(item) for item in _split(data))
    return complex(float(real), float(imag))  # type: ignore[arg-type]


def _decode_enum(data: bytes) -> Hashable:
    module, path, name = (item.decode() for item in _split(data))
    found: Any = sys.modules[module]  # never imported: the bytes may be someone else's
    for part in path.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, Enum)):
        raise ValueError(f"{module}.{path} is not an enumeration")
    return found[name]


_DECODERS: dict[bytes, Callable[[bytes], Hashable]] = {
    b"s": lambda data: data.decode("utf-8", "surrogatepass"),
    b"b": lambda data: data,
    b"i": int,
    b"x": lambda data: int(data, 16),
    b"f": lambda data: _DOUBLE.unpack(data)[0],
    b"q": _decode_ratio,
    b"c": _decode_complex,
    b"n": lambda data: None,
    b"t": lambda data: tuple(decode_key(item) for item in _split(data)),
    b"z": lambda data: frozenset(decode_key(item) for item in _split(data)),
    b"D": lambda data: _EPOCH + int(data) * _MICROSECOND,
    b"U": lambda data: _EPOCH_UTC + int(data) * _MICROSECOND,
    b"d": lambda data: date.fromordinal(int(data)),
    b"T": lambda data: int(data) * _MICROSECOND,
    b"u": lambda data: UUID(bytes=data),
    b"p": lambda data: PurePosixPath(data.decode("utf-8", "surrogateescape")),
    b"e": _decode_enum,
}
