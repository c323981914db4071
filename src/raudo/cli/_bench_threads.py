"""Throughput of several threads on one cache: mixed reads and writes, relative to one thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of, put_all
from raudo.cli._bench_peers import Peer, Subject
from raudo.cli._bench_timing import quiet

__all__ = ["N_THREADS", "measure"]

N_THREADS = (1, 2, 4)
_READS_A_WRITE = 9

Work = Callable[[Sequence[Any]], None]


def _mixed(subject: Subject, lock: threading.Lock | None) -> Work:
    """Return a loop of nine reads to a write, each call under the lock where there is one."""
    get = subject.get
    assert get is not None
    put = subject.set if subject.set is not None else subject.mapping.__setitem__

    def free(keys: Sequence[Any]) -> None:
        for i, key in enumerate(keys):
            if i % (_READS_A_WRITE + 1):
                get(key)
            else:
                put(key, key)

    def locked(keys: Sequence[Any]) -> None:
        for i, key in enumerate(keys):
            if i % (_READS_A_WRITE + 1):
                with lock:  # type: ignore[union-attr]
                    get(key)
            else:
                with lock:  # type: ignore[union-attr]
                    put(key, key)

    return free if lock is None else locked


def _calls_a_second(work: Work, parts: Sequence[Sequence[Any]]) -> float:
    start = threading.Barrier(len(parts) + 1)

    def run(keys: Sequence[Any]) -> None:
        start.wait()
        work(keys)

    threads = [threading.Thread(target=run, args=(keys,)) for keys in parts]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(map(len, parts)) / (time.perf_counter() - began)


def measure(peers: Sequence[Peer], n_keys: int, calls: int, rounds: int) -> dict[str, Any]:
    """Return calls a second of every peer by the number of threads, the median round."""
    order = random.Random(0)
    works: dict[str, Work] = {}
    for peer in peers:
        subject = peer.make(n_keys)
        if subject.get is None:
            continue
        put_all(subject, keys_of("int", range(n_keys)))
        needs_lock = peer.package == "cachetools"
        works[peer.name] = _mixed(subject, threading.Lock() if needs_lock else None)
    noted: dict[str, dict[str, list[float]]] = {name: {} for name in works}
    names = list(works)
    with quiet():
        for _ in range(rounds):
            order.shuffle(names)
            for n in N_THREADS:
                # A tenth more keys than fit: some reads miss, and writes evict.
                parts = [
                    keys_of("int", [order.randrange(n_keys + n_keys // 10) for _ in range(calls)])
                    for _ in range(n)
                ]
                for name in names:
                    column = f"{n} thread{'s' * (n > 1)}"
                    rate = _calls_a_second(works[name], parts)
                    noted[name].setdefault(column, []).append(rate)
    columns = [f"{n} thread{'s' * (n > 1)}" for n in N_THREADS]
    return {
        "n_keys": n_keys,
        "columns": columns,
        "calls_per_s": {
            peer.name: {
                column: float(round(sorted(noted[peer.name][column])[rounds // 2]))
                for column in columns
            }
            for peer in peers
            if peer.name in noted
        },
    }
