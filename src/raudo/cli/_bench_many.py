"""Nanoseconds a key of asking for a hundred at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of, put_all
from raudo.cli._bench_peers import Peer, Subject
from raudo.cli._bench_timing import interleave, summaries

__all__ = ["AT_ONCE", "measure"]

AT_ONCE = 100

Chunks = Sequence[Sequence[Any]]


def _timed(fn: Callable[[Sequence[Any]], Any], chunks: Chunks) -> float:
    start = time.perf_counter_ns()
    for chunk in chunks:
        fn(chunk)
    return (time.perf_counter_ns() - start) / (len(chunks) * AT_ONCE)


def _many(subject: Subject) -> Callable[[Sequence[Any]], Any]:
    """Return the library's own way to ask for many, or what its users write where it has none."""
    if hasattr(subject.mapping, "get_many"):
        own: Callable[[Sequence[Any]], Any] = subject.mapping.get_many
        return own
    get, miss = subject.get, subject.miss
    assert get is not None

    def by_comprehension(keys: Sequence[Any]) -> dict[Any, Any]:
        return {key: value for key in keys if (value := get(key)) is not miss}

    return by_comprehension


def measure(peers: Sequence[Peer], sizes: Sequence[int], calls: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one table: nanoseconds a key, a column for each number of entries."""
    order = random.Random(0)
    chunks: dict[str, list[Sequence[Any]]] = {}
    numbers = {f"{AT_ONCE} of {n:,}": [i % n for i in range(calls)] for n in sizes}

    def begin() -> None:
        for column, each in numbers.items():
            order.shuffle(each)
            keys = keys_of("int", each)
            chunks[column] = [keys[i : i + AT_ONCE] for i in range(0, len(keys), AT_ONCE)]

    begin()
    passes: dict[str, dict[str, Callable[[], float]]] = {column: {} for column in numbers}
    for column, n_keys in zip(numbers, sizes, strict=True):
        for peer in peers:
            subject = peer.make(n_keys + n_keys // 4)
            if subject.get is None:
                continue
            put_all(subject, keys_of("int", range(n_keys)))

            many = _many(subject)

            def one_pass(many: Any = many, column: str = column) -> float:
                return _timed(many, chunks[column])

            passes[column][peer.name] = one_pass
    found = interleave(passes, rounds, begin)
    return {
        "title": f"get_many: ns a key, {AT_ONCE} int keys at once",
        "notes": ["by a dict comprehension over get where a library has none"],
        "columns": list(numbers),
        "base": dict.fromkeys(numbers, "dict"),
        "loop_ns": 0.0,
        "rounds": rounds,
        "calls_a_round": calls,
        "ns": summaries(found, [peer.name for peer in peers], 0.0),
        "wrong": {},
    }
