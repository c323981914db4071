"""What a processor counts, so that every task it took is accounted for.

Always: submitted = succeeded + failed + cancelled + dropped + running + queued.
"""

from __future__ import annotations

from raudo._core.drive import Counts

__all__ = ["Ledger"]


class Ledger(Counts):
    """Counts of one processor on one event loop, touched by that loop's thread only.

    The compiled base has `succeeded` and `busy_s`, the seconds of all attempts of ended tasks, and
    `ran`, how many of them took how long.
    """

    __slots__ = (
        "abandoned",
        "cancelled",
        "dropped",
        "failed",
        "not_async",
        "retried",
        "submitted",
        "timed_out",
    )

    def __init__(self) -> None:
        self.submitted = 0  # tasks taken: pulled from an input, called or queued
        self.failed = 0
        self.cancelled = 0
        self.dropped = 0  # pushed out of a full queue
        self.retried = 0  # attempts after a task's first
        self.timed_out = 0  # attempts that were ended for their timeout
        self.abandoned = 0  # functions left running on a thread, their result unwanted
        # Tasks that succeeded elsewhere than on the loop; the rest is "async". Counting the rare
        # ones keeps the commonest path, a coroutine in a batch, at one increment.
        self.not_async: dict[str, int] = {}

    def add(self, other: Ledger) -> None:
        """Add the counts of another ledger to these."""
        for name in ("succeeded", "busy_s", *self.__slots__):
            if name != "not_async":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ran.merge(other.ran)
        for kind, n in list(other.not_async.items()):
            self.not_async[kind] = self.not_async.get(kind, 0) + n

    def count_kind(self, kind: str) -> None:
        """Note where a task that succeeded ran."""
        if kind != "async":
            self.not_async[kind] = self.not_async.get(kind, 0) + 1

    @property
    def finished(self) -> int:
        """Tasks that ran to their end, well or badly."""
        return self.succeeded + self.failed

    def by_kind(self) -> dict[str, int]:
        """Return how many tasks succeeded on the loop, in threads, in processes and inline."""
        others = {kind: self.not_async.get(kind, 0) for kind in ("thread", "process", "inline")}
        return {"async": self.succeeded - sum(others.values()), **others}
