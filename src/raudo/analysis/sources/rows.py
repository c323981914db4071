"""Rows that have a text each become documents, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

from raudo.analysis.documents import Batch
from raudo.analysis.sources.tally import Tally

__all__ = ["documents_of"]


def documents_of(
    name: str,
    numbers: Sequence[int],
    texts: Sequence[str | None],
    own: Sequence[str | None] | None,
    tally: Tally,
    *,
    lacking: str = "empty",
) -> Batch:
    """Return the documents of some rows of a file, called by their own ids where they have one,
    else `name:number`; `lacking` is the reason for which those with None for a text are skipped.
    """
    blank = [i for i, each in enumerate(texts) if not each or each.isspace()]
    if blank:
        for i in blank:
            tally.skip(lacking if texts[i] is None else "empty", f"{name}:{numbers[i]}")
        left_out = set(blank)
        kept = [i for i in range(len(texts)) if i not in left_out]
        numbers, texts = [numbers[i] for i in kept], [texts[i] for i in kept]
        own = None if own is None else [own[i] for i in kept]
    found = [each for each in texts if each is not None]
    if own is None:
        own = [None] * len(found)
    ids = [id_ or f"{name}:{number}" for id_, number in zip(own, numbers, strict=True)]
    if not tally.claim_places(ids):  # one at a time, then
        claims = [
            tally.claim(id_ or None, f"{name}:{number}")
            for id_, number in zip(own, numbers, strict=True)
        ]
        found = [text for text, claim in zip(found, claims, strict=True) if claim is not None]
        ids = [claim for claim in claims if claim is not None]
    return Batch([*ids], found, [name] * len(ids))
