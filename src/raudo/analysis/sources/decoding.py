"""Bytes become text by the first rule that fits.

A byte order mark (UTF-8, UTF-16, UTF-32); what an HTML page says of itself; UTF-16 without a mark,
by where its zero bytes are; UTF-8; Latin-1, which always fits and is counted as badly encoded.
Bytes with a zero among the first 8 KiB that are none of these are binary.
"""

from __future__ import annotations

import codecs
import re

__all__ = ["SNIFFED", "decode", "encoding_by_mark", "is_binary"]

SNIFFED = 8192
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Fewer bytes say too little about where the zeros are.
_LEAST_UTF16 = 16
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.I)


def encoding_by_mark(data: bytes) -> str | None:
    """Return the encoding that a byte order mark says, or UTF-16 where the zero bytes show it.

    Latin letters in UTF-16 have a zero in every second byte, and a text of any script has spaces
    and line ends that do; a binary file has zeros in both halves.
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if marked is not None or len(data) < _LEAST_UTF16:
        return marked
    head = data[: SNIFFED & ~1]
    even, odd = head[::2].count(0), head[1::2].count(0)
    least = len(head) // 16
    if not even and odd >= max(2, least) and _is_text(head, "utf-16-le"):
        return "utf-16-le"
    if not odd and even >= max(2, least) and _is_text(head, "utf-16-be"):
        return "utf-16-be"
    return None


def _is_text(head: bytes, encoding: str) -> bool:
    """Say whether the head reads as text: no control characters but white space."""
    text = head[: len(head) & ~1].decode(encoding, errors="ignore")
    return all(c >= " " or c in "\t\n\r\f" for c in text)


def charset_of(head: bytes) -> str | None:
    """Return the encoding that an HTML page declares, where Python knows it."""
    found = _CHARSET.search(head[:2048])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return None
    # A page whose declaration could be read as ASCII is not in these, whatever it says.
    return None if name.startswith(("utf-16", "utf-32")) else name


def is_binary(head: bytes) -> bool:
    return b"\0" in head and encoding_by_mark(head) is None


def decode(data: bytes, *, html: bool = False) -> tuple[str, bool]:
    """Return the text, and whether it had to be read as Latin-1."""
    declared = charset_of(data) if html else None
    for encoding in (encoding_by_mark(data), declared, "utf-8"):
        if encoding is not None:
            try:
                return data.decode(encoding), False
            except (UnicodeDecodeError, LookupError, ValueError):
                continue
    return data.decode("latin-1"), True
