"""Keys of any kind that come in the order in which they came before.

A log keeps the last misses. When a key returns, what followed it the last time may follow again:
temporal streaming (Wenisch et al., "Temporal Streaming of Shared Memory", ISCA 2005), with the log
of Nesbit and Smith ("Data Cache Prefetching Using a Global History Buffer", HPCA 2004). MITHRIL
(Yang et al., SoCC 2017) mines the same log for pairs in batches; here nothing is mined: how far a
repetition can be believed is told by

- how many of the keys just before it were also just before it the last time,
- how far ahead the follower was,
- whether it followed the time before, too,
- whether it was itself foreseen the last time,

and the ledger learns how often each of these cases comes true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

__all__ = ["Sequences"]

_CONTEXT = 8  # keys before a repetition that are compared
_SURE_MATCHES = 4  # more of them tell no more
_AHEAD = 8  # followers proposed
# Of the log, for each entry of the cache. Block I/O was seen to repeat itself after ten times the
# cache's size in misses: at 8 a tenth of LRU's misses can be foreseen there, at 16 a third.
_LOG_PER_ENTRY = 16
_MIN_LOG, _MAX_LOG = 1 << 14, 1 << 20


class Sequences:
    """Finds repetitions in the order of misses. The caller holds a lock.

    Takes about 120 bytes for each key in the log, and keeps it alive.
    """

    def __init__(self, max_size: int) -> None:
        self._size = min(max(_MIN_LOG, _LOG_PER_ENTRY * max_size), _MAX_LOG)
        self._now = 0  # misses so far; the one at time t is at t % size
        self._keys: list[Any] = []
        self._previous: list[int] = []  # when the same key missed before, -1 for never
        self._foreseen = bytearray()
        self._last: dict[Hashable, int] = {}
        self._recent = deque([-1] * _CONTEXT, maxlen=_CONTEXT)  # `previous` of the last keys

    def follow(self, key: Any, *, was_foreseen: bool) -> list[tuple[Any, Hashable]]:
        """Note that a key was asked for; return keys that may be next, each with its kind."""
        now = self._now
        then = self._last.get(key, -1)
        found = self._followers(key, then) if then >= 0 else []
        at = now % self._size
        if at == len(self._keys):
            self._keys.append(key)
            self._previous.append(then)
            self._foreseen.append(was_foreseen)
        else:
            oldest = self._keys[at]
            if self._last.get(oldest) == now - self._size:
                del self._last[oldest]
            self._keys[at], self._previous[at], self._foreseen[at] = key, then, was_foreseen
        self._last[key] = now
        self._recent.append(then)
        self._now = now + 1
        return found

    def _followers(self, key: Any, then: int) -> list[tuple[Any, Hashable]]:
        size, keys, previous, foreseen = self._size, self._keys, self._previous, self._foreseen
        # A key just before now was just before `then` if it missed there the last time.
        matches = 0
        for each in self._recent:
            if then - _CONTEXT <= each < then:
                matches += 1
        matches = min(matches, _SURE_MATCHES)
        before = previous[then % size]
        is_third_time = before > self._now - size
        found: list[tuple[Any, Hashable]] = []
        for ahead in range(1, min(_AHEAD, self._now - then - 1) + 1):
            at = (then + ahead) % size
            follower = keys[at]
            if follower == key:
                break  # from here on it is the same once more
            support = is_third_time + (is_third_time and before < previous[at] <= before + _AHEAD)
            found.append((follower, ("sequence", matches, ahead, support, foreseen[at])))
        return found
