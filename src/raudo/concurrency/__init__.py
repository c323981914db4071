"""Work on many items at once: coroutines, threads and processes behind one set of names.

`AsyncProcessor` and `BatchProcessor` serve an event loop; `ParallelExecutor`, `parallel_map` and
`parallel_imap` serve plain code. Which kind of worker a function gets is learned (`routing`), how
many of them run is searched for by throughput (`scaling`); the workers themselves are in
`_workers`. The names load on first use: a worker process imports this package too and needs none.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudo.concurrency.async_processor import AsyncProcessor
    from raudo.concurrency.batch_processor import BatchProcessor
    from raudo.concurrency.parallel_executor import ParallelExecutor
    from raudo.concurrency.parallel_map import parallel_imap, parallel_map
    from raudo.concurrency.retrying import Backoff, retry

__all__ = [
    "AsyncProcessor",
    "BatchProcessor",
    "ParallelExecutor",
    "parallel_map",
    "parallel_imap",
    "retry",
    "Backoff",
]

_MODULE_OF = {
    "AsyncProcessor": "async_processor",
    "BatchProcessor": "batch_processor",
    "ParallelExecutor": "parallel_executor",
    "parallel_map": "parallel_map",
    "parallel_imap": "parallel_map",
    "retry": "retrying",
    "Backoff": "retrying",
}


class _Package(ModuleType):
    """Keeps `parallel_map` and `retry` functions.

    Importing a submodule makes the import system bind it in its package; these two submodules are
    named like the function they define.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in _MODULE_OF:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
