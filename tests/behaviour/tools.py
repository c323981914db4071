"""Every tool that runs functions in processes, behind one way to be asked."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

__all__ = ["OURS", "TOOLS", "Tool", "installed", "take"]

OURS = "raudo"
N_WORKERS = 2


class Tool(Protocol):
    """A pool of two processes, used as its documentation says; `pool` has a `with` block."""

    def outcomes(
        self, fn: Callable[[Any], Any], items: Sequence[Any], timeout: float | None = None
    ) -> list[Any]:
        """Return the result of each item, an exception in its place where it failed."""
        ...

    def lazily(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Return an iterator of results."""
        ...

    def close(self) -> None:
        """Shut down as one would at the end of a `with` block."""
        ...


def _each(futures: Iterable[Callable[[], Any]]) -> list[Any]:
    found = []
    for result in futures:
        try:
            found.append(result())
        except Exception as error:
            found.append(error)
    return found


class Raudo:
    def __init__(self) -> None:
        from raudo import ParallelExecutor

        self.pool = ParallelExecutor(max_processes=N_WORKERS, kind="process")

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            futures = [self.pool.submit(fn, item) for item in items]
            return _each(future.result for future in futures)
        from raudo import parallel_map

        return parallel_map(
            fn, items, N_WORKERS, kind="process", timeout=timeout, on_error="return"
        )

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        return self.pool.map(fn, items)

    def close(self) -> None:
        self.pool.shutdown()


class ProcessPoolExecutor:
    def __init__(self) -> None:
        import concurrent.futures

        self.pool = concurrent.futures.ProcessPoolExecutor(N_WORKERS)

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        futures = [self.pool.submit(fn, item) for item in items]
        return _each(lambda each=each: each.result(timeout) for each in futures)  # type: ignore[misc]

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        return self.pool.map(fn, items)

    def close(self) -> None:
        self.pool.shutdown()


class MultiprocessingPool:
    def __init__(self) -> None:
        import multiprocessing

        self.pool = multiprocessing.Pool(N_WORKERS)

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        futures = [self.pool.apply_async(fn, (item,)) for item in items]
        return _each(lambda each=each: each.get(timeout) for each in futures)  # type: ignore[misc]

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        return self.pool.imap(fn, items)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Joblib:
    def __init__(self) -> None:
        import joblib

        self._joblib = joblib

    def _parallel(self, **more: Any) -> Any:
        return self._joblib.Parallel(N_WORKERS, **more)

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        delayed = self._joblib.delayed(fn)
        try:
            return list(self._parallel(timeout=timeout)(delayed(item) for item in items))
        except Exception as error:
            return [error] * len(items)

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        delayed = self._joblib.delayed(fn)
        return iter(self._parallel(return_as="generator")(delayed(item) for item in items))

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


class Mpire:
    def __init__(self) -> None:
        import mpire

        self.pool = mpire.WorkerPool(N_WORKERS)

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        futures = [self.pool.apply_async(fn, (item,), task_timeout=timeout) for item in items]
        return _each(future.get for future in futures)

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        return iter(self.pool.imap(fn, items, iterable_len=1 << 40))

    def close(self) -> None:
        self.pool.stop_and_join()


class Pebble:
    def __init__(self) -> None:
        import pebble

        self.pool = pebble.ProcessPool(N_WORKERS)

    def outcomes(self, fn: Any, items: Any, timeout: float | None = None) -> list[Any]:
        futures = [self.pool.schedule(fn, (item,), timeout=timeout) for item in items]
        return _each(future.result for future in futures)

    def lazily(self, fn: Any, items: Any) -> Iterator[Any]:
        return iter(self.pool.map(fn, items).result())

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


TOOLS: dict[str, tuple[str, Callable[[], Tool]]] = {
    OURS: ("raudo", Raudo),
    "ProcessPoolExecutor": ("concurrent.futures", ProcessPoolExecutor),
    "mp.Pool": ("multiprocessing", MultiprocessingPool),
    "joblib": ("joblib", Joblib),
    "mpire": ("mpire", Mpire),
    "pebble": ("pebble", Pebble),
}


def installed() -> list[str]:
    """Return the tools that there are here."""
    return [name for name, (module, _) in TOOLS.items() if importlib.util.find_spec(module)]


def take(n: int, found: Iterator[Any]) -> list[Any]:
    """Return the first `n`."""
    return list(itertools.islice(found, n))
