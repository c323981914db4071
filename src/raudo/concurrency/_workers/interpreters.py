"""Starts fresh interpreters for workers and for the fork server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["environment", "popen", "sigint_blocked"]

# Threads of a numerical library in each of several workers fight for the same cores.
_ONE_THREAD_EACH = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def environment() -> dict[str, str]:
    """Return the environment for a worker: the program's, with one thread for numerical libraries
    that it says nothing of."""
    return {**dict.fromkeys(_ONE_THREAD_EACH, "1"), **os.environ}


@contextlib.contextmanager
def sigint_blocked() -> Iterator[None]:
    """Keep Ctrl-C from a child that is not ready for it; it unblocks the signal when it is."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def popen(module: str, call: str, fd: int) -> subprocess.Popen[bytes]:
    """Run `module.call` in a fresh interpreter that inherits descriptor `fd`."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {sys.argv!r}; "
        f"from {module} import main; {call}"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    with sigint_blocked():
        return subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[fd],
            env=environment(),
        )
