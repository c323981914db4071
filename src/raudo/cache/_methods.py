"""What `cached` has to know of a function: whether it is a method, and where its parameters are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "is_in_class_body",
    "mark_coroutine_function",
    "names_to_ignore",
    "places_of",
    "takes_self",
]

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MOST_PLACES = 64  # bits of the compiled rule


def is_in_class_body(fn: Any) -> bool:
    """Say whether a function was defined directly in a class, by its qualified name."""
    outer, dot, _ = getattr(fn, "__qualname__", "").rpartition(".")
    return bool(dot) and not outer.endswith("<locals>")


def takes_self(fn: Callable[..., Any]) -> bool:
    """Say whether the first parameter is called self.

    Asked of functions in a class body alone, as a decorator around this one, or `property`, keeps
    the class from telling that it is a method.
    """
    return next(iter(_parameters(fn)), None) == "self"


def names_to_ignore(ignore: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of parameters to leave out of keys."""
    if isinstance(ignore, str):
        return (ignore,)
    if not isinstance(ignore, Iterable):
        raise TypeError(f"ignore must be names of parameters, got {ignore!r}")
    names = tuple(ignore)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"ignore must be names of parameters, got {name!r} among them")
    return names


def places_of(
    fn: Callable[..., Any], names: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the places and the names by which a call may give these parameters."""
    parameters = _parameters(fn) if names else {}
    places, by_name = [], []
    for name in names:
        parameter = parameters.get(name)
        if parameter is None:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"ignore names {name!r}, the parameters of {fn!r} are: {known}")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"ignore names {parameter}, which is no single argument")
        if parameter.kind in _BY_PLACE:
            places.append(list(parameters).index(name))
        if parameter.kind != parameter.POSITIONAL_ONLY:
            by_name.append(name)
    if places and max(places) >= _MOST_PLACES:
        raise ValueError(f"ignore names a parameter behind the first {_MOST_PLACES}: {names}")
    return tuple(places), tuple(by_name)


def _parameters(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(fn).parameters)
    except ValueError:  # of a builtin that tells nothing
        return {}


def mark_coroutine_function(wrapper: Any) -> None:
    """Have `iscoroutinefunction` say so of a callable that is no function."""
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(wrapper)
    else:  # Python 3.11: asyncio's own mark
        from asyncio import coroutines

        wrapper._is_coroutine = getattr(coroutines, "_is_coroutine", None)
