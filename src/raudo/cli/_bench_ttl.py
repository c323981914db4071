"""What a time to live costs: hits and updates of a cache with one and without, side by side."""

from __future__ import annotations

import datetime
import importlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of
from raudo.cli._bench_peers import Peer
from raudo.cli._bench_timing import LOOPS, Loop, empty_loop, interleave, summaries, timed

__all__ = ["TTL_S", "expiring", "measure"]

TTL_S = 3600.0
_COSTS = {"get hit": "ttl costs a hit", "update": "ttl costs an update"}

Get = Callable[[Any], Any]
Put = tuple[Loop, Any]
Expiring = Callable[[int, float], tuple[Get, Put]]
"""Makes a cache of so many entries and so many seconds; its `get`, and how it is put into."""


def _by_theine(capacity: int, ttl: float) -> tuple[Get, Put]:
    cache = importlib.import_module("theine").Cache(capacity)
    seconds = datetime.timedelta(seconds=ttl)

    def put_all(put: Any, keys: Sequence[Any]) -> None:
        for key in keys:
            put(key, key, seconds)

    return cache.get, (put_all, cache.set)


def _by_moka(capacity: int, ttl: float) -> tuple[Get, Put]:
    cache = importlib.import_module("moka_py").Moka(capacity, ttl=ttl)
    return cache.get, (LOOPS["set"], cache.set)


def _mapping(make: Callable[[int, float], Any]) -> Expiring:
    def made(capacity: int, ttl: float) -> tuple[Get, Put]:
        cache = make(capacity, ttl)
        return cache.get, (LOOPS["setitem"], cache)

    return made


def _raudo(strategy: str) -> Expiring:
    raudo = importlib.import_module("raudo")
    return _mapping(lambda capacity, ttl: raudo.Cache(capacity, strategy=strategy, ttl=ttl))


def expiring(name: str) -> Expiring | None:
    """Return how a peer's cache with a time to live is made, None where it has none."""
    if name in ("raudo", "raudo lru"):
        return _raudo("adaptive" if name == "raudo" else "lru")
    if name == "cachetools LRU":
        return _mapping(importlib.import_module("cachetools").TTLCache)
    if name == "cachebox LRU":
        return _mapping(importlib.import_module("cachebox").TTLCache)
    return {"theine": _by_theine, "moka-py": _by_moka}.get(name)


def measure(peers: Sequence[Peer], n_keys: int, calls: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one table, beside a dict that has no times to live."""
    stored = keys_of("int", range(n_keys))
    numbers = [i % n_keys for i in range(calls)]
    order = random.Random(0)
    known: list[Any] = []

    def begin() -> None:
        order.shuffle(numbers)
        known[:] = keys_of("int", numbers)

    begin()
    columns = ("get hit", "get hit, ttl", "update", "update, ttl")
    passes: dict[str, dict[str, Callable[[], float]]] = {each: {} for each in columns}

    def add(name: str, column: str, loop: Loop, subject: Any) -> None:
        passes[column][name] = lambda: timed(loop, subject, known)

    for peer in peers:
        make = expiring(peer.name)
        subject = peer.make(n_keys + n_keys // 4)
        if subject.get is None or (make is None and peer.name != "dict"):
            continue
        plain_put: Put = (
            (LOOPS["setitem"], subject.mapping)
            if subject.mapping is not None
            else (LOOPS["set"], subject.set)
        )
        plain_put[0](plain_put[1], stored)
        add(peer.name, "get hit", LOOPS["call"], subject.get)
        add(peer.name, "update", *plain_put)
        if make is not None:
            get, put = make(n_keys + n_keys // 4, TTL_S)
            put[0](put[1], stored)
            add(peer.name, "get hit, ttl", LOOPS["call"], get)
            add(peer.name, "update, ttl", *put)
    loop_ns = empty_loop(known)
    ns = summaries(interleave(passes, rounds, begin), [peer.name for peer in peers], loop_ns)
    for figures in ns.values():
        for column in _COSTS:
            if f"{column}, ttl" in figures:
                cost = figures[f"{column}, ttl"]["median"] - figures[column]["median"]
                figures[_COSTS[column]] = {"median": round(cost, 2)}
    return {
        "title": f"a time to live: {n_keys:,} int keys",
        "notes": ["with ttl: TTLCache for cachetools and cachebox"],
        "columns": [*columns, *_COSTS.values()],
        "base": dict.fromkeys(columns, "dict"),
        "loop_ns": round(loop_ns, 2),
        "rounds": rounds,
        "calls_a_round": calls,
        "ns": ns,
        "wrong": {},
    }
