"""Lets one server rest that does not answer, while the others of a cluster are asked on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from raudo.errors import ServerUnavailable

__all__ = ["Breaker"]

_FIRST_REST_S, _LONGEST_REST_S = 1.0, 4.0
_LOSSES = (OSError, RedisConnectionError, RedisTimeoutError)


class Breaker:
    """Opens at the first failure; after a rest one call tries whether the server is back."""

    def __init__(self) -> None:
        self._rest_s = 0.0
        self._failed_at = self._resume_at = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note how a call ends; `ServerUnavailable` while the server rests."""
        began = time.monotonic()
        if self._rest_s:
            if began < self._resume_at:
                raise ServerUnavailable("the server rests after it did not answer", was_asked=False)
            self._resume_at = began + self._rest_s  # the others wait for how this one ends
        try:
            yield
        except _LOSSES:
            self._note_failure(began)
            raise
        self.reset()

    def reset(self) -> None:
        """Note that the server answers."""
        self._rest_s = 0.0

    def _note_failure(self, began: float) -> None:
        if began < self._failed_at:
            return  # it was asked before the failure that is known
        self._rest_s = min(max(_FIRST_REST_S, 2 * self._rest_s), _LONGEST_REST_S)
        self._failed_at = time.monotonic()
        self._resume_at = self._failed_at + self._rest_s
