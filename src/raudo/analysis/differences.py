"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

__all__ = ["Piece", "differences", "excerpt"]

_WORDS_COMPARED = 400
_WORDS_SHOWN = 90
_WORDS_BEFORE = 12
_PARTS = re.compile(r"\w+|[^\w\s]+")


class Piece(NamedTuple):
    """A run of words that both texts have, that only the second has, or that only the first has."""

    kind: Literal["same", "new", "gone"]
    text: str


def excerpt(text: str, chars: int = 240) -> str:
    """Return the start of a text on one line, cut at a word, with an ellipsis where it goes on."""
    line = " ".join(text[: 4 * chars].split())
    if len(line) <= chars:
        return line + (" …" if len(text) > 4 * chars else "")
    return (line[:chars].rsplit(" ", 1)[0] or line[:chars]) + " …"


def differences(first: str, second: str) -> list[Piece]:
    """Return the second text as pieces, with what the first has instead.

    What is far from any difference is left out, at the start and in between, and so is what follows
    after some ninety words.
    """
    a = _PARTS.findall(first[: 12 * _WORDS_COMPARED])[:_WORDS_COMPARED]
    b = _PARTS.findall(second[: 12 * _WORDS_COMPARED])[:_WORDS_COMPARED]
    return list(_shortened(list(_pieces(a, b))))


def _pieces(a: list[str], b: list[str]) -> Iterator[Piece]:
    matcher = SequenceMatcher(None, [*map(str.lower, a)], [*map(str.lower, b)], autojunk=False)
    for kind, a_lo, a_hi, b_lo, b_hi in matcher.get_opcodes():
        if kind == "equal":
            yield Piece("same", " ".join(b[b_lo:b_hi]))
            continue
        if a_lo < a_hi:
            yield Piece("gone", " ".join(a[a_lo:a_hi]))
        if b_lo < b_hi:
            yield Piece("new", " ".join(b[b_lo:b_hi]))


def _shortened(pieces: list[Piece]) -> Iterator[Piece]:
    n_shown = 0
    for i, piece in enumerate(pieces):
        words = piece.text.split(" ")
        if piece.kind == "same":
            before = 0 if i == 0 else _WORDS_BEFORE
            after = 0 if i == len(pieces) - 1 else _WORDS_BEFORE
            if i == 0 and len(pieces) == 1:
                after = _WORDS_SHOWN
            elif i == len(pieces) - 1:
                before = max(_WORDS_BEFORE, _WORDS_SHOWN // 3)
            if len(words) > before + after:
                tail = words[-after:] if after else []
                words = [*words[:before], "…", *tail]
        words = words[: max(0, _WORDS_SHOWN - n_shown)]
        if words:
            yield Piece(piece.kind, " ".join(words))
        n_shown += len(words)
        if n_shown >= _WORDS_SHOWN:
            yield Piece("same", "…")
            return
