"""`cached`: memoise a function in a mapping of the caller's."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from raudo.compat.cachetools import keys
from raudo.compat.cachetools._memo import (
    CountedMemo,
    LockedCountedMemo,
    LockedMemo,
    Memo,
    WaitingCountedMemo,
    WaitingMemo,
    kind_of,
)

__all__ = ["cached"]


class _Function(Memo):
    """A memoised function: binds, copies and pickles as a function does."""

    __wrapped__: Callable[..., Any]
    __qualname__: str

    def __init__(
        self, fn: Callable[..., Any], cache: Any, key: Callable[..., Any], lock: Any, condition: Any
    ) -> None:
        # First, so that the attributes of `fn`, which may be memoised itself, do not win.
        functools.update_wrapper(self, fn)
        self.cache = cache
        self.cache_key = key
        self.cache_lock = condition if lock is None else lock
        self.cache_condition = condition
        self.prepare(fn)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __copy__(self) -> _Function:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _Function:
        return self

    def __reduce__(self) -> str:
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<cached {self.__wrapped__!r}>"


class _Plain(_Function, Memo): ...


class _Counted(_Function, CountedMemo): ...


class _Locked(_Function, LockedMemo): ...


class _LockedCounted(_Function, LockedCountedMemo): ...


class _Waiting(_Function, WaitingMemo): ...


class _WaitingCounted(_Function, WaitingCountedMemo): ...


_CLASS_OF: dict[type[Memo], type[_Function]] = {
    Memo: _Plain,
    CountedMemo: _Counted,
    LockedMemo: _Locked,
    LockedCountedMemo: _LockedCounted,
    WaitingMemo: _Waiting,
    WaitingCountedMemo: _WaitingCounted,
}


def cached(
    cache: Any,
    key: Callable[..., Any] = keys.hashkey,
    lock: Any = None,
    condition: Any = None,
    info: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Memoise a function in `cache`, any mutable mapping.

    Args:
        cache: Holds the results; may be shared where the keys differ.
        key: Makes the key of a call's arguments.
        lock: Context manager around each use of the cache; the function runs outside it.
        condition: `threading.Condition` or alike; callers of a key that is being computed wait.
            It is the lock too where `lock` is None.
        info: Whether the function gets a `cache_info`.

    Raises:
        TypeError: `cache` is None.
    """
    if cache is None:
        raise TypeError("cache must be a mutable mapping, got None")
    make = _CLASS_OF[kind_of(lock, condition, info)]

    def decorate(fn: Callable[..., Any]) -> Any:
        return make(fn, cache, key, lock, condition)

    return decorate
