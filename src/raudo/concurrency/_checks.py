"""Checks of what users give."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = [
    "check_number",
    "check_positive",
    "check_seconds",
    "not_a_function",
    "refuse_coroutine_function",
]


_CO_COROUTINE = inspect.CO_COROUTINE


def refuse_coroutine_function(fn: Any) -> None:
    """Raise `TypeError` for a function whose coroutine no worker would await."""
    code = getattr(fn, "__code__", None)
    if code is not None and getattr(code, "co_flags", 0) & _CO_COROUTINE:
        raise TypeError(
            f"fn is a coroutine function ({fn.__qualname__}), which an AsyncProcessor runs; "
            "here it must be a plain one"
        )


def check_number(name: str, value: object) -> float:
    """Return a number; raise `TypeError` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    return float(value)


def check_seconds(name: str, value: object) -> float:
    """Return a finite number of seconds, 0 or more."""
    number = check_number(name, value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} must be a finite number of seconds >= 0, not {value!r}")
    return number


def check_positive(name: str, value: object, *, at_least: float = 0.0) -> float:
    """Return a finite number above 0, and no less than `at_least`."""
    number = check_number(name, value)
    if not max(at_least, 0.0) <= number < float("inf") or number == 0:
        wanted = f">= {at_least:g}" if at_least else "> 0"
        raise ValueError(f"{name} must be a finite number {wanted}, not {value!r}")
    return number


def not_a_function(what: str, given: object) -> TypeError:
    """Return the error for what cannot be called, a coroutine that was made too early above all."""
    if inspect.iscoroutine(given):
        given.close()  # or it would be reported as never awaited
        return TypeError(
            f"{what} needs a function and its arguments, {what}(fn, 1), not the coroutine fn(1)"
        )
    return TypeError(f"{what} needs a function, not {type(given).__name__}")
