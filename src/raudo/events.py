"""The only way up from a lower floor: frozen records that are emitted, and whoever subscribed.

A room emits what happened (a tier failed, a worker died); monitoring, a test or a user's own code
listens. Emitting with no subscriber costs one dictionary look-up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = [
    "AlertChanged",
    "MemoryGrew",
    "MemoryShort",
    "MessageBuried",
    "SourceFailed",
    "TierFailed",
    "WorkerReplaced",
    "emit",
    "has_subscribers",
    "subscribe",
]

_log = logging.getLogger("raudo.events")
_lock = threading.Lock()
_subscribers: dict[type, tuple[Callable[[Any], None], ...]] = {}

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class TierFailed:
    """A cache level raised; the call was answered from what is left."""

    cache: str
    tier: str
    operation: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class WorkerReplaced:
    """A worker process ended under a task, or was ended for its timeout; another took its place."""

    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """A queue's source raised; it is asked again after a pause."""

    source: str
    operation: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class MessageBuried:
    """A message went to the dead letters."""

    source: str
    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlertChanged:
    """An alert began (`active`) or ended, for the series of these labels."""

    rule: str
    metric: str
    value: float
    active: bool
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """The process uses more of what it may than a limit (`"soft"` or `"hard"`) allows for."""

    level: str
    used_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryGrew:
    """The process grew by that much since the last look, and of which types there are more."""

    grown_bytes: int
    used_bytes: int
    types: tuple[tuple[str, int], ...]
    """Type names with about how many more there are, most first."""


def subscribe(kind: type[E], listener: Callable[[E], None]) -> Callable[[], None]:
    """Call `listener` with each event of exactly this kind; return a function that ends it.

    The listener runs in the thread that emits and must not block. What it raises is logged, never
    passed on. Thread-safe.
    """
    with _lock:
        _subscribers[kind] = (*_subscribers.get(kind, ()), listener)

    def unsubscribe() -> None:
        with _lock:
            left = tuple(each for each in _subscribers.get(kind, ()) if each is not listener)
            if left:
                _subscribers[kind] = left
            else:
                _subscribers.pop(kind, None)

    return unsubscribe


def has_subscribers(kind: type) -> bool:
    """Whether anybody listens: what is costly to find out need not be found out for nobody."""
    return kind in _subscribers


def emit(event: object) -> None:
    """Hand an event to those who subscribed to its kind."""
    for listener in _subscribers.get(type(event), ()):
        try:
            listener(event)
        except Exception:
            _log.exception("a listener of %s failed", type(event).__name__)
