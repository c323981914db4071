"""Runs one call that came from another process, and encodes what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from raudo.concurrency._workers.chunks import ChunkResult
from raudo.concurrency._workers.failures import encode_error
from raudo.concurrency._workers.pickling import Encoded, Encoder

__all__ = ["run_call"]


def run_call(load: Callable[[], tuple[Any, ...]], encoder: Encoder) -> tuple[bool, Encoded]:
    """Make the call that `load` returns, `(fn, args, kwargs)`; say whether it succeeded.

    Encoded is `(value, wall_s, cpu_s)`, or what `decode_error` takes. Nothing is raised, and when
    this returns nothing of the call is kept alive.
    """
    try:
        fn, args, kwargs = load()
        wall, cpu = time.perf_counter(), time.thread_time()
        value = fn(*args, **kwargs)
        spent = time.perf_counter() - wall, time.thread_time() - cpu
        del fn, args, kwargs
    except BaseException as error:
        return False, Encoded(encode_error(error), [])
    encode = encoder.encode
    try:
        return True, encode((value, *spent))
    except BaseException as cause:
        if isinstance(value, ChunkResult):
            return True, encode((value.salvaged(encode, _unpicklable), *spent))
        return False, Encoded(encode_error(_unpicklable(value, cause)), [])


def _unpicklable(value: Any, cause: BaseException) -> BaseException:
    error = TypeError(
        f"the task's result, a {type(value).__qualname__}, cannot be pickled and so cannot leave "
        f"its worker process: {cause}"
    )
    error.__cause__ = cause
    return error
