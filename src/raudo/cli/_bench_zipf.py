"""Nanoseconds a request, misses and all: a get, and a set where it misses, of keys by zipf 1.0.

600,000 keys, of which caches of 60,000 and of 12,000 entries hold the popular ones or not: what a
strategy costs is paid where it works. Each request's key is an object of its own, equal to the one
stored; all are made beforehand, a chunk for each round, the same for all subjects. The value is one
object, so that no subject waits for the memory of values. A pass is long, so that what the subject
before it left of the processor's caches matters little.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of
from raudo.cli._bench_peers import Peer, Subject
from raudo.cli._bench_timing import empty_loop, interleave, summaries

__all__ = ["measure"]

N_KEYS = 600_000

Replay = Callable[[Sequence[Any]], None]


def _replay_of(subject: Subject) -> Replay | None:
    """Return the loop that a user of the library would write; None where it cannot be written."""
    get, mapping, put, memo = subject.get, subject.mapping, subject.set, subject.memo

    def by_item(keys: Sequence[Any]) -> None:
        for key in keys:
            if get(key) is None:  # type: ignore[misc]
                mapping[key] = 1

    def by_set(keys: Sequence[Any]) -> None:
        for key in keys:
            if get(key) is None:  # type: ignore[misc]
                put(key, 1)  # type: ignore[misc]

    def by_pair(keys: Sequence[Any]) -> None:
        for key in keys:
            if not get(key)[1]:  # type: ignore[misc]
                put(key, 1)  # type: ignore[misc]

    def by_call(keys: Sequence[Any]) -> None:
        for key in keys:
            memo(key)  # type: ignore[misc]

    if get is None:
        return by_call if memo is not None else None
    if mapping is not None:
        return by_item
    return by_pair if isinstance(subject.miss, tuple) else by_set


class _Requests:
    """Draws keys by popularity; which key is how popular has nothing to do with its number."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.numbers = list(range(N_KEYS))
        self.random.shuffle(self.numbers)
        self.mass = list(itertools.accumulate(1 / rank for rank in range(1, N_KEYS + 1)))

    def draw(self, n: int) -> list[Any]:
        return keys_of("int", self.random.choices(self.numbers, cum_weights=self.mass, k=n))


def _hit_percent(subject: Subject, replay: Replay, keys: Sequence[Any]) -> float | None:
    get = subject.get
    if get is None:
        return None
    n_hits = 0
    for key in keys:
        if get(key) != subject.miss:
            n_hits += 1
        else:
            replay((key,))
    return 100.0 * n_hits / len(keys)


def measure(
    peers: Sequence[Peer], capacities: Sequence[int], calls: int, rounds: int
) -> dict[str, Any]:
    """Return the figures of one table, two columns for each number of entries."""
    requests = _Requests()
    keys: list[Any] = requests.draw(calls)
    passes: dict[str, dict[str, Callable[[], float]]] = {f"{n:,}": {} for n in capacities}
    filled: dict[tuple[str, str], tuple[Subject, Replay]] = {}
    warming = requests.draw(8 * max(capacities))
    for capacity, (column, each) in zip(capacities, passes.items(), strict=True):
        for peer in peers:
            subject = peer.make(capacity)
            replay = _replay_of(subject) if subject.bounded else None
            if replay is None:
                continue
            replay(warming)
            filled[peer.name, column] = subject, replay

            def one_pass(replay: Replay = replay) -> float:
                start = time.perf_counter_ns()
                replay(keys)
                return (time.perf_counter_ns() - start) / len(keys)

            each[peer.name] = one_pass

    def begin() -> None:
        keys[:] = requests.draw(calls)

    loop_ns = empty_loop(keys)
    ns = summaries(interleave(passes, rounds, begin), [peer.name for peer in peers], loop_ns)
    begin()
    for (name, column), (subject, replay) in filled.items():
        percent = _hit_percent(subject, replay, keys)
        if percent is not None:
            ns[name][f"hits %, {column}"] = {"median": round(percent, 2)}
    return {
        "title": f"a request, misses and all: zipf 1.0 over {N_KEYS:,} int keys",
        "notes": ["get, and set on a miss; functools: a memoised call"],
        "columns": [each for column in passes for each in (column, f"hits %, {column}")],
        "base": dict.fromkeys(passes, "functools.lru_cache"),
        "loop_ns": round(loop_ns, 2),
        "rounds": rounds,
        "calls_a_round": calls,
        "ns": ns,
        "wrong": {},
    }
