"""Functions that make a hashable key of a call's arguments."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, final

__all__ = ["hashkey", "methodkey", "typedkey", "typedmethodkey"]


@final
class _Keywords:
    """Stands in a key between the positional and the keyword arguments.

    The class itself is the mark: no caller passes it by accident, and pickling keeps its identity.
    """


_MARK = (_Keywords,)


def hashkey(*args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments; 1 and 1.0 make the same key."""
    if kwargs:
        return (*args, *_MARK, *sorted(kwargs.items()))
    return args


def methodkey(self: object, /, *args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments but the first, which need not be hashable."""
    if kwargs:
        return (*args, *_MARK, *sorted(kwargs.items()))
    return args


def typedkey(*args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments and their types; 1 and 1.0 make different keys."""
    if kwargs:
        named = sorted(kwargs.items())
        types = [type(value) for _, value in named]
        return (*args, *_MARK, *named, *types, *map(type, args))
    return (*args, *map(type, args))


def typedmethodkey(self: object, /, *args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key as `typedkey` does, of all arguments but the first."""
    return typedkey(*args, **kwargs)
