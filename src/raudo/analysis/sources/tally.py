"""What a source says beside its documents: what was left out and why, and what it chose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Saying", "Tally"]


# What was said: "skipped", a reason and a place; "encoded badly" or "noted", and of what.
Saying = tuple[str, ...]
# It may be otherwise next time, with the same file.
_PASSING = ("unreadable", "damaged", "named twice")


class Tally:
    """Counts what was skipped, by reason, and keeps the ids of documents distinct.

    `sayings` has all that was told, in order, and `n_passing` counts what of it does not follow
    from a file alone. For one thread at a time.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, list[str]] = {}
        self.badly_encoded: list[str] = []
        self.notes: list[str] = []
        self.sayings: list[Saying] = []
        self.n_passing = 0
        self._ids: set[str] = set()
        self._known: list[Sequence[str]] = []  # not among the ids yet

    def skip(self, reason: str, place: str) -> None:
        self.n_passing += reason.startswith(_PASSING)
        self.sayings.append(("skipped", reason, place))
        self.skipped.setdefault(reason, []).append(place)

    def misread(self, place: str) -> None:
        """Say that something is not UTF-8 and was read as Latin-1."""
        self.sayings.append(("encoded badly", place))
        self.badly_encoded.append(place)

    def note(self, said: str, *, passing: bool = False) -> None:
        """Say something once, however often it is met."""
        self.n_passing += passing
        self.sayings.append(("noted", said))
        if said not in self.notes:
            self.notes.append(said)

    def repeat(self, sayings: Iterable[Saying]) -> None:
        """Say what was said of a file that is not read again."""
        for kind, *what in sayings:
            say = {"skipped": self.skip, "encoded badly": self.misread, "noted": self.note}[kind]
            say(*what)  # type: ignore[operator]  # each with its own

    def claim(self, id_: str | None, place: str) -> str | None:
        """Return the id a document gets: its own, else its place where that is taken; None for a
        document that was read before, which is counted."""
        self._take_known()
        key = place if id_ is None else id_
        if key in self._ids:
            self.n_passing += 1  # it gets its own when the other goes
            key = place
        if key in self._ids:
            self.skip("named twice", place)
            return None
        self._ids.add(key)
        return key

    def claim_places(self, places: list[str]) -> bool:
        """Claim many places at once; False, with nothing claimed, where one is taken or is there
        twice."""
        self._take_known()
        claimed = set(places)
        if len(claimed) < len(places) or not self._ids.isdisjoint(claimed):
            return False
        self._ids |= claimed
        return True

    def claim_known(self, ids: Sequence[str]) -> bool:
        """Claim ids of documents that were read in an earlier run, each once; False, with nothing
        claimed, where one is taken."""
        # Where no other document asks for one they need not be compared.
        if not self._ids.isdisjoint(ids):
            return False
        self._known.append(ids)
        return True

    def _take_known(self) -> None:
        if self._known:
            self._ids.update(*self._known)
            self._known.clear()
