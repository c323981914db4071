"""Kinds of work for the routing section: importable by name, so that each may run anywhere."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["Workload", "workloads"]


class Workload(NamedTuple):
    """A batch: one function, and the argument of each call."""

    name: str
    fn: Callable[[Any], Any]
    arguments: Sequence[Any]


def _tiny(x: int) -> int:
    return x + 1


def _burn(n: int) -> int:
    """Keep a CPU, and the interpreter lock, busy: about 50 us for each thousand."""
    total = 0
    for i in range(n):
        total += i * i
    return total


def _small(n: int) -> int:
    return _burn(n)


def _long(n: int) -> int:
    return _burn(n)


def _skewed(n: int) -> int:
    return _burn(n)


def _matrices(n: int) -> float:
    import numpy as np

    matrix = np.full((n, n), 0.5, dtype=np.float32)
    for _ in range(20):
        matrix = np.sqrt(matrix * matrix + 1.0)
    return float(matrix[0, 0])


def _sort(array: Any) -> Any:
    import numpy as np

    return np.sort(array)


def _compress(n: int) -> int:
    return len(zlib.compress(_bytes(n), 6))


def _digest(n: int) -> str:
    return hashlib.sha256(_bytes(n)).hexdigest()


def _bytes(n: int) -> bytes:
    return bytes(range(256)) * (n // 256)


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def _file(n: int) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(n))
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return len(file.read())


def _get(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return len(connection.getresponse().read())
    finally:
        connection.close()


def _parse(n: int) -> int:
    rows = [{"id": i, "name": f"row {i}", "tags": ["a", "b"]} for i in range(n)]
    return len(json.loads(json.dumps(rows)))


def _mixed(n: int) -> int:
    """Wait for some arguments, compute for others."""
    if n < 0:
        time.sleep(0.004)
        return n
    return _burn(n)


def workloads(port: int, scale: float) -> list[Workload]:
    """Return the twelve; `scale` 1 makes batches of some 50 ms. `port` is of an HTTP server."""

    def times(n: int) -> int:
        return max(2, round(n * scale))

    found = [
        Workload("tiny", _tiny, range(times(4000))),
        Workload("Python 50 us", _small, [1_000] * times(600)),
        Workload("Python 3 ms", _long, [60_000] * times(24)),
        Workload("skewed Python", _skewed, ([400_000] + [8_000] * 11) * times(4)),
        Workload("zlib", _compress, [200_000] * times(32)),
        Workload("sha256", _digest, [400_000] * times(100)),
        Workload("sleep 2 ms", _sleep, [0.002] * times(160)),
        Workload("file", _file, [64_000] * times(60)),
        Workload("HTTP", _get, [port] * times(60)),
        Workload("JSON", _parse, [400] * times(60)),
        Workload("mixed", _mixed, [-1, 20_000] * times(24)),
    ]
    try:
        import numpy as np
    except ImportError:
        return found
    arrays = [np.arange(100_000.0)[::-1] % 997.0 for _ in range(times(24))]
    return [
        *found,
        Workload("NumPy", _matrices, [300] * times(32)),
        Workload("NumPy, 800 KB in and out", _sort, arrays),
    ]
