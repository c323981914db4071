"""Work on many items at once: coroutines, threads and processes behind one set of names.

`AsyncProcessor` and `BatchProcessor` serve an event loop; `ParallelExecutor`, `parallel_map` and
`parallel_imap` serve plain code. Which kind of worker a function gets is learned (`routing`), how
many of them run is searched for by throughput (`scaling`); the workers themselves are in
`_workers`. The names load on first use: a worker process imports this package too and needs none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudo.concurrency.async_processor import AsyncProcessor
    from raudo.concurrency.batch_processor import BatchProcessor
    from raudo.concurrency.local_queue import LocalQueue
    from raudo.concurrency.mapping import parallel_imap, parallel_map
    from raudo.concurrency.parallel_executor import ParallelExecutor
    from raudo.concurrency.retrying import Backoff, retry
    from raudo.concurrency.seen import RecentKeys

__all__ = [
    "AsyncProcessor",
    "BatchProcessor",
    "ParallelExecutor",
    "parallel_map",
    "parallel_imap",
    "retry",
    "Backoff",
    "LocalQueue",
    "RecentKeys",
]

_MODULE_OF = {
    "AsyncProcessor": "async_processor",
    "BatchProcessor": "batch_processor",
    "ParallelExecutor": "parallel_executor",
    "parallel_map": "mapping",
    "parallel_imap": "mapping",
    "retry": "retrying",
    "Backoff": "retrying",
    "LocalQueue": "local_queue",
    "RecentKeys": "seen",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
