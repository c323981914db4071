"""How `raudo cache` reads its trace: with notes and progress on stderr, and within bounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line starts without NumPy
    from raudo.cache.traces import Trace

__all__ = ["MOST_REQUESTS", "read"]

MOST_REQUESTS = 20_000_000
"""Read where no limit is given: about a gigabyte, most of it the keys as Python numbers."""

_LARGE_BYTES = 32 << 20


def read(args: argparse.Namespace) -> Trace:
    """Return the trace that the arguments name."""
    from raudo.cache.traces import read_trace

    limit = args.limit or MOST_REQUESTS
    trace = read_trace(args.trace, format=args.format, limit=limit, report=_progress(args.prog))
    if trace.torn:
        _note(args, trace.torn)
    if not trace.is_whole and not args.limit:
        _note(args, f"{args.trace}: the first {limit:,} requests; --limit N reads N")
    return trace


def _note(args: argparse.Namespace, message: str) -> None:
    print(f"{args.prog}: note: {message}", file=sys.stderr)


def _progress(prog: str) -> Callable[[int, int], None]:
    """Return what says for a large file, at every tenth of it, how far it has been read."""
    last = 0

    def report(n_read: int, n_bytes: int) -> None:
        nonlocal last
        tenth = 10 * n_read // n_bytes if n_bytes >= _LARGE_BYTES else 0
        if tenth > last:
            last = tenth
            done = f"{n_read >> 20:,} of {n_bytes >> 20:,} MiB"
            print(f"{prog}: read {10 * tenth} %, {done}", file=sys.stderr)

    return report
