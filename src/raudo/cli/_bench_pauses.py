"""The longest single calls: growing, evicting, clearing, and first calls after much has expired.

Milliseconds, the least of the runs: what a call must take, not what the machine put in its way. For
inserts that evict each call has its own least of the runs, as what a policy learns meanwhile is the
same in each.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of
from raudo.cli._bench_peers import Peer, Subject
from raudo.cli._bench_timing import quiet
from raudo.cli._bench_ttl import expiring

__all__ = ["longest_insert", "measure"]

_N_CALLS_AFTER = 2_000
_FULL_ENTRIES = 60_000


def _longest(call: Callable[[Any], Any], keys: Sequence[Any]) -> float:
    longest = 0
    clock = time.perf_counter_ns
    for key in keys:
        start = clock()
        call(key)
        took = clock() - start
        if took > longest:
            longest = took
    return longest / 1e6


def _inserting(subject: Subject) -> Callable[[Any], Any]:
    if subject.mapping is not None:
        setitem = subject.mapping.__setitem__
        return lambda key: setitem(key, key)
    if subject.set is not None:
        put = subject.set
        return lambda key: put(key, key)
    assert subject.memo is not None
    return subject.memo


def longest_insert(peer: Peer, keys: Sequence[Any]) -> tuple[float, Subject]:
    """Return the longest of the inserts that fill a cache, in ms, and the full cache."""
    subject = peer.make(len(keys))
    return _longest(_inserting(subject), keys), subject


def _evicting(peer: Peer, keys: Sequence[Any], n_entries: int) -> array[int]:
    """Return the nanoseconds of each insert into a cache that the first of the keys have filled."""
    call = _inserting(peer.make(n_entries))
    for key in keys[:n_entries]:
        call(key)
    took = array("q", bytes(8 * (len(keys) - n_entries)))
    clock = time.perf_counter_ns
    for i in range(n_entries, len(keys)):
        start = clock()
        call(keys[i])
        took[i - n_entries] = clock() - start
    return took


def measure(
    peers: Sequence[Peer], n_large: int, n_expiring: int, repeats: int, say: Callable[[str], None]
) -> dict[str, Any]:
    n_full = min(_FULL_ENTRIES, n_large // 4)
    columns = [
        f"insert, growing to {n_large:,}",
        f"insert, {n_full:,} full",
        f"clear() of {n_large:,}",
        f"calls after {n_expiring:,} expired",
    ]
    found: dict[str, dict[str, float]] = {peer.name: {} for peer in peers}
    evicting: dict[str, array[int]] = {}

    def note(name: str, column: str, ms: float) -> None:
        found[name][column] = round(min(ms, found[name].get(column, ms)), 3)

    keys = keys_of("int", range(n_large))
    few = keys[:n_expiring]
    with quiet():
        for i in range(repeats):
            say(f"pauses: run {i + 1} of {repeats}")
            for peer in peers:
                ms, subject = longest_insert(peer, keys)
                note(peer.name, columns[0], ms)
                if subject.clear is not None:
                    note(peer.name, columns[2], _longest(lambda _, s=subject: s.clear(), [None]))  # type: ignore[misc]
                del subject
                gc.collect()
                took = _evicting(peer, keys[: 4 * n_full], n_full)
                evicting[peer.name] = array("q", map(min, took, evicting.get(peer.name, took)))
            waiting = _fill_expiring(peers, few)
            for name, (get, put_one) in waiting.items():
                new = keys_of("int", range(n_large, n_large + _N_CALLS_AFTER))
                worst = max(_longest(get, new), _longest(put_one, new))
                note(name, columns[3], worst)
    for name, took in evicting.items():
        note(name, columns[1], max(took) / 1e6)
    return {"columns": columns, "ms": {name: row for name, row in found.items() if row}}


def _fill_expiring(
    peers: Sequence[Peer], keys: Sequence[Any], ttl: float = 1.0
) -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    """Fill every cache that has times to live, and return once all that is in them has expired."""
    found: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
    for peer in peers:
        make = expiring(peer.name)
        if make is None:
            continue
        get, (loop, subject) = make(len(keys), ttl)
        loop(subject, keys)

        def put_one(key: Any, loop: Any = loop, subject: Any = subject) -> None:
            loop(subject, (key,))

        found[peer.name] = get, put_one
    time.sleep(1.1 * ttl + 0.2)
    return found
