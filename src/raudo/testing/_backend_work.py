"""What the contract of engines has workers do: importable by name, and light to import."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

__all__: list[str] = []


class OddError(Exception):
    """Takes other arguments than it hands to `Exception`, so its own pickle cannot rebuild it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


_said: list[str] = []


def note(word: str) -> None:
    _said.append(word)


def noted() -> list[str]:
    return list(_said)


def square(x: Any) -> Any:
    return x * x


def fail_at(x: int, bad: int) -> int:
    if x == bad:
        raise ValueError(f"bad {x}")
    return x


def raise_odd() -> None:
    raise OddError(7, "odd")


def spin() -> None:
    while True:
        pass


def spin_at(x: int, bad: int) -> int:
    if x == bad:
        spin()
    return x


def exit_at(x: int, bad: int) -> int:
    if x == bad:
        os._exit(9)
    return x


def sleep_after(path: str, seconds: float) -> None:
    Path(path).touch()
    time.sleep(seconds)


def flaky(path: str, n: int, x: Any) -> Any:
    """Fail until called `n` times, counted in a file, from whatever process."""
    with open(path, "a+b") as file:
        file.write(b".")
        file.flush()
        n_calls = file.tell()
    if n_calls < n:
        raise OSError(f"call {n_calls}")
    return x


def item(items: Any, at: int) -> Any:
    return items[at]


def doubled(array: Any) -> Any:
    array *= 2
    return array


def double_here(array: Any, _: int) -> float:
    """What an earlier task did to its copy is not to be seen."""
    array *= 2
    return float(array.sum())


def sum_of(array: Any, _: int) -> float:
    return float(array.sum())


def pid(_: object) -> int:
    return os.getpid()
