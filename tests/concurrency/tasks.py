"""What the tests have workers do: importable by name from any process."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
from typing import Any


class OddInit(Exception):
    """Takes other arguments than it hands to `Exception`, so its own pickle cannot rebuild it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class HoldsLock(Exception):
    """Cannot be pickled at all."""

    def __init__(self) -> None:
        super().__init__("held")
        self.lock = threading.Lock()


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class LoadsNowhere:
    """Pickles, and cannot be loaded."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise LookupError("refused to load")


def square(x: int) -> int:
    return x * x


def nothing(*_: Any) -> None:
    return None


def fail(message: str) -> None:
    raise KeyError(message)


def fail_at(x: int, bad: int) -> int:
    if x == bad:
        raise ValueError(f"bad {x}")
    return x


def fail_on_13(x: int) -> int:
    return fail_at(x, 13)


def raise_odd() -> None:
    raise OddInit(7, "odd")


def raise_unpicklable() -> None:
    raise HoldsLock


def raise_wordless() -> None:
    raise BrokenStr


def raise_chained() -> None:
    try:
        fail("inner")
    except KeyError as error:
        raise OddInit(1, "outer") from error


def exit_system(code: int) -> None:
    sys.exit(code)


def exit_now(code: int) -> None:
    os._exit(code)


def exit_on_13(x: int) -> int:
    if x == 13:
        os._exit(9)
    return x


def segfault() -> None:
    import faulthandler

    faulthandler.disable()  # its report would drown the test's output
    ctypes.string_at(0)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def spin() -> None:
    while True:
        pass


def sleep_long(*_: Any) -> None:
    time.sleep(600)


def sleep_long_on_13(x: int) -> int:
    if x == 13:
        time.sleep(600)
    return x


def close_all_descriptors() -> None:
    os.closerange(2, 1000)


def pid(*_: Any) -> int:
    return os.getpid()


def value_of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def blas_threads() -> int:
    """Multiply matrices, and return how many more threads there are than before any were."""
    import numpy as np

    square = np.ones((600, 600))
    square @ square
    return len(os.listdir("/proc/self/task")) - threading.active_count()


def make_lambda(*_: Any) -> Any:
    return lambda: 1


def make_lock(*_: Any) -> Any:
    return threading.Lock()


def make_lock_on_3(x: int) -> Any:
    return threading.Lock() if x == 3 else x


def echo(value: Any) -> Any:
    return value


_kept: list[Any] = []


def keep_and_sum(array: Any) -> float:
    """Remember the array; return the sum of all that are remembered."""
    _kept.append(array)
    return float(sum(each.sum() for each in _kept))


def burn(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i
    return total


def short_sleep(x: Any) -> Any:
    time.sleep(0.005)
    return x


_initialized: list[str] = []


def initialize(word: str) -> None:
    _initialized.append(word)


def initialized() -> list[str]:
    return list(_initialized)


def initialize_badly() -> None:
    raise LookupError("no such thing")


def nested_map(n: int) -> list[int]:
    from raudo import parallel_map

    return parallel_map(square, range(n), kind="auto")


def nested_processes(n: int) -> list[int]:
    from raudo import parallel_map

    return parallel_map(square, range(n), 2, kind="process")


class FlakyFile:
    """Fails until it was called `n` times, counted in a file, from whatever process."""

    def __init__(self, path: str, n: int, deadly: bool = False) -> None:
        self.path, self.n, self.deadly = path, n, deadly

    def __call__(self, x: Any) -> Any:
        with open(self.path, "a+b") as file:
            file.write(b".")
            file.flush()
            n_calls = file.tell()
        if n_calls < self.n:
            if self.deadly:
                os._exit(3)
            raise OSError(f"call {n_calls}")
        return x
