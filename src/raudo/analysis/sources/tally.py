"""What a source says beside its documents: what was left out and why, and what it chose."""

from __future__ import annotations

__all__ = ["Tally"]


class Tally:
    """Counts what was skipped, by reason, and keeps the ids of documents distinct.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, list[str]] = {}
        self.badly_encoded: list[str] = []
        self.notes: list[str] = []
        self._ids: set[str] = set()

    def skip(self, reason: str, place: str) -> None:
        self.skipped.setdefault(reason, []).append(place)

    def note(self, said: str) -> None:
        """Say something once, however often it is met."""
        if said not in self.notes:
            self.notes.append(said)

    def claim(self, id_: str | None, place: str) -> str | None:
        """Return the id a document gets: its own, else its place where that is taken; None for a
        document that was read before, which is counted."""
        key = place if id_ is None or id_ in self._ids else id_
        if key in self._ids:
            self.skip("named twice", place)
            return None
        self._ids.add(key)
        return key

    def claim_places(self, places: list[str]) -> bool:
        """Claim many places at once; False, with nothing claimed, where one is taken or is there
        twice."""
        claimed = set(places)
        if len(claimed) < len(places) or not self._ids.isdisjoint(claimed):
            return False
        self._ids |= claimed
        return True
