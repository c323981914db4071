"""Every error that raudo raises on its own account.

    RaudoError
    ├── TaskTimeout        TimeoutError        a task ran longer than it was allowed to
    ├── QueueFull          asyncio.QueueFull   a bounded queue refused a task
    ├── WorkerDied         RuntimeError        a worker process ended under a task
    │   └── InitializerFailed  BrokenExecutor  a worker's initializer raised: the pool is of no use
    ├── RemoteError        RuntimeError        a worker's exception that could not travel as itself
    ├── RetriesExhausted   RuntimeError        every attempt failed; `__cause__` is the last failure
    ├── CircuitOpen        ConnectionError     a function fails too often and is not called for now
    ├── Closed             RuntimeError        used after `close`, `stop` or `shutdown`
    ├── PoolError          ValueError          released twice, or released what is not the pool's
    ├── PoolExhausted      TimeoutError        all that a pool may hold is lent, and none came back
    ├── UnknownPool        KeyError            no pool of that name was created
    ├── CorruptEntry       ValueError          stored bytes that do not check out
    ├── ForbiddenType      TypeError           a stored value of a class that may not be loaded
    ├── BadTrace           ValueError          a trace file that is cut off or not in its format
    ├── TierUnavailable    OSError             a cache level that cannot be opened or written
    │   └── ServerUnavailable                  one of the servers that a shared level is on
    ├── BadRow                             a row that a file format cannot hold; says which
    │   ├── BadRowValue    ValueError          a value, or a key, that does not fit
    │   └── BadRowType     TypeError           a value of a type that has no form there
    ├── EndpointUnavailable  OSError           a process whose metrics cannot be read
    ├── ClusterUnavailable ConnectionError     a cluster that cannot be reached, or gave up a task
    ├── SourceUnavailable  ConnectionError     a queue that cannot be read from or written to
    ├── ExportError        OSError             rows or files that could not be written
    ├── PurgeFailed        ConnectionError     published, but a cache could not be told to forget
    └── MissingExtra       ImportError         an optional dependency that is not installed

Each also inherits the standard class that a caller would catch anyway. A caller's own mistake (a
wrong argument) is a plain `ValueError` or `TypeError` that names the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "BadRow",
    "BadRowType",
    "BadRowValue",
    "BadTrace",
    "CircuitOpen",
    "Closed",
    "ClusterUnavailable",
    "CorruptEntry",
    "EndpointUnavailable",
    "ExportError",
    "ForbiddenType",
    "InitializerFailed",
    "MissingExtra",
    "PoolError",
    "PoolExhausted",
    "PurgeFailed",
    "QueueFull",
    "RaudoError",
    "RemoteError",
    "RetriesExhausted",
    "ServerUnavailable",
    "SourceUnavailable",
    "TaskTimeout",
    "TierUnavailable",
    "UnknownPool",
    "WorkerDied",
]


class RaudoError(Exception):
    """Root of every error that raudo raises on its own account."""


class TaskTimeout(RaudoError, TimeoutError):
    """A task ran longer than it was allowed to."""


if TYPE_CHECKING:

    class QueueFull(RaudoError, asyncio.QueueFull):
        """A bounded queue refused a task."""


class WorkerDied(RaudoError, RuntimeError):
    """A worker process ended while it ran a task; the message names the exit code or signal."""


class InitializerFailed(WorkerDied, BrokenExecutor):
    """A worker's initializer raised (`__cause__`), so that its pool can run nothing any more."""


class RemoteError(RaudoError, RuntimeError):
    """Stands for a worker's exception that could not be pickled; carries its type and traceback."""


class RetriesExhausted(RaudoError, RuntimeError):
    """Every attempt failed; `__cause__` is the last failure."""


class CircuitOpen(RaudoError, ConnectionError):
    """A function failed too often and is not called for another `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[CircuitOpen], tuple[str, float]]:
        return type(self), (str(self), self.retry_after)


class Closed(RaudoError, RuntimeError):
    """The object was used after `close`, `stop` or `shutdown`."""


class PoolError(RaudoError, ValueError):
    """An object was released twice, or to a pool that it does not come from."""


class PoolExhausted(RaudoError, TimeoutError):
    """All objects that a pool may hold are lent, and none came back in time."""


class UnknownPool(RaudoError, KeyError):
    """No pool of that name was created; the message names those that were."""

    __str__ = Exception.__str__  # KeyError shows the repr of its argument, quotes and all


class CorruptEntry(RaudoError, ValueError):
    """Stored bytes do not check out."""


class ForbiddenType(RaudoError, TypeError):
    """A value is of a class that may not travel to, or be loaded from, where others could write."""


class BadTrace(RaudoError, ValueError):
    """A trace file that is cut off or not in its format; the message names file and place."""


class TierUnavailable(RaudoError, OSError):
    """A cache level cannot be opened or written."""


class ServerUnavailable(TierUnavailable):
    """One of the servers of a shared level does not answer; the level itself lets it rest.

    `was_asked` is False while it rests. `keys` are those of a batch that were not written, None
    for all.
    """

    def __init__(
        self, message: str, *, was_asked: bool = True, keys: Sequence[bytes] | None = None
    ) -> None:
        super().__init__(message)
        self.was_asked = was_asked
        self.keys = keys


class BadRow(RaudoError):
    """A row cannot be written in the format.

    `row` is its number, counted from 0 over the whole export; `column` the key of the value, None
    where it is the row itself that does not fit.
    """

    def __init__(self, row: int, column: object, reason: str) -> None:
        super().__init__(row, column, reason)
        self.row, self.column, self.reason = row, column, reason

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {self.column!r}"
        return f"row {self.row}{column}: {self.reason}"


class BadRowValue(BadRow, ValueError):
    """A value or a key does not fit the format, or what the first rows have decided."""


class BadRowType(BadRow, TypeError):
    """A value, or the row, is of a type that has no form in the format."""


class EndpointUnavailable(RaudoError, OSError):
    """The metrics of another process cannot be read; the message says why."""


class ClusterUnavailable(RaudoError, ConnectionError):
    """A cluster cannot be reached, or gave up a task that nobody cancelled."""


class SourceUnavailable(RaudoError, ConnectionError):
    """A queue cannot be read from or written to for now."""


class ExportError(RaudoError, OSError):
    """Rows or files could not be written to where they were to go."""


class PurgeFailed(RaudoError, ConnectionError):
    """All is published, but a cache could not be told to forget what it held before.

    `published.purge` is what to purge; until then copies live as long as they may.
    """

    def __init__(self, message: str, published: Any) -> None:
        super().__init__(message)
        self.published = published

    def __reduce__(self) -> tuple[type[PurgeFailed], tuple[str, Any]]:
        return type(self), (str(self), self.published)


class MissingExtra(RaudoError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'raudo[{extra}]'")
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.feature, self.extra)


def __getattr__(name: str) -> Any:
    if name != "QueueFull":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Made when it is named: asyncio takes as long to load as all else that most rooms need.
    import asyncio

    members = {"__doc__": "A bounded queue refused a task.", "__module__": __name__}
    made = type(name, (RaudoError, asyncio.QueueFull), members)
    return globals().setdefault(name, made)  # the same one in all threads
