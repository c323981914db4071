"""Pickles what goes to a worker process.

Plain pickle first: it is fast, and refers to functions by name. What it refuses (lambdas, closures,
functions of a notebook) goes by value through cloudpickle where that is installed.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

from raudo.concurrency._workers.main_module import find_main

__all__ = ["dumps", "libraries_in", "name_of", "needs_main"]

# Worth importing once in the fork server, and safe there: they start no threads that a fork loses,
# and nobody edits and reloads them.
_SLOW_TO_IMPORT = ("numpy",)


def needs_main(payload: bytes) -> bool:
    """Say whether unpickling may look into `__main__`, by whatever name."""
    return b"__main__" in payload or b"__mp_main__" in payload


def libraries_in(payload: bytes) -> tuple[str, ...]:
    """Return the slow libraries that unpickling imports."""
    return tuple(each for each in _SLOW_TO_IMPORT if each.encode() in payload)


def _dumps_by_value(value: object, buffer_callback: Callable[[Any], Any] | None) -> bytes | None:
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError:
        return None
    data: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=buffer_callback)
    return data


def dumps(
    value: object, protocol: int = 5, buffer_callback: Callable[[Any], Any] | None = None
) -> bytes:
    """Pickle by reference where that can be loaded elsewhere, else by value."""
    kept: list[Any] = []

    def keep(buffer: Any) -> Any:  # so that a second attempt starts with no buffers
        kept.append(buffer)
        return buffer_callback(buffer) if buffer_callback is not None else True

    try:
        payload = pickle.dumps(value, protocol, buffer_callback=keep)
    except Exception:
        if kept:
            raise  # the buffers of the failed attempt have been handed out
        by_value = _dumps_by_value(value, buffer_callback)
        if by_value is None:
            raise
        return by_value
    if needs_main(payload) and not kept and find_main() is None:
        by_value = _dumps_by_value(value, buffer_callback)
        if by_value is not None:
            return by_value
    return payload


def name_of(fn: object) -> str:
    """Return how to call a function in messages."""
    wrapped = getattr(fn, "func", fn)  # functools.partial
    name = getattr(wrapped, "__qualname__", None) or type(wrapped).__qualname__
    return str(name)
