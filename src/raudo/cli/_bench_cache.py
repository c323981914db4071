"""`raudo bench cache`: what each section of the comparison measures, and how long that takes.

All subjects of a table run in one process, in turn within each round, so that a slow moment of the
machine falls on all of them; the figure is the median round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raudo.cli import (
    _bench_await,
    _bench_many,
    _bench_memory,
    _bench_pauses,
    _bench_threads,
    _bench_ttl,
    _bench_zipf,
)
from raudo.cli._bench_calls import HITS, OPERATIONS, Plan, measure
from raudo.cli._bench_peers import MAIN, PEERS, Peer, installed
from raudo.cli._bench_report import render

__all__ = ["DEFAULT", "SECTIONS", "packages", "render", "run"]

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Section:
    what: str
    seconds: int
    """About how long it takes, with all libraries and a quiet machine."""
    measure: Callable[[bool, Sequence[Peer], Say], dict[str, Any]]
    """Called with whether to be quick, all peers and `say`; returns a part of the result."""


def _main(peers: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in peers if peer.name in MAIN]


def _tables(plans: Sequence[Plan], peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    tables = []
    for plan in plans:
        say(f"{plan.title}, {plan.rounds} rounds")
        tables.append(measure(plan, peers))
    return {"tables": tables}


def _plan(title: str, kind: str, n_keys: int, calls: int, rounds: int, **more: Any) -> Plan:
    """Give a plan its title: a set's size and the kind of key."""
    return Plan(f"{title}: {n_keys:,} {kind} keys", kind, n_keys, calls, rounds, **more)


def _hot(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    calls, rounds = (2_000, 2) if quick else (50_000, 15)
    return _tables([_plan("hot set", "int", 1_000, calls, rounds)], peers, say)


def _large(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_keys, calls, rounds = (5_000, 2_000, 2) if quick else (100_000, 50_000, 11)
    return _tables([_plan("large set", "int", n_keys, calls, rounds)], peers, say)


def _huge(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_keys, calls, rounds = (10_000, 2_000, 2) if quick else (1_000_000, 50_000, 5)
    operations = [each for each in OPERATIONS if each != "memo hit"]
    plan = _plan("huge set", "int", n_keys, calls, rounds, operations=operations)
    return _tables([plan], _main(peers), say)


def _keys(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    sizes, calls, rounds = ((500, 2_000), 1_000, 2) if quick else ((1_000, 100_000), 20_000, 7)
    kinds = (
        ("the same objects", "int", "same"),
        ("the same objects", "str", "same"),
        ("made anew for each call, hash not computed", "str", "fresh"),
        ("equal, other objects", "tuple", "equal"),
    )
    plans = [
        _plan(f"{what}", kind, n, calls, rounds, operations=HITS, sameness=sameness)
        for n in sizes
        for what, kind, sameness in kinds
    ]
    return _tables(plans, _main(peers), say)


def _order(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_keys, calls, rounds = (5_000, 2_000, 2) if quick else (100_000, 50_000, 7)
    plans = [
        _plan(
            f"{'shuffled' if is_shuffled else 'in the order of insertion'}, "
            f"{'the same objects' if sameness == 'same' else 'equal, other objects'}",
            "int",
            n_keys,
            calls,
            rounds,
            operations=("get hit", "c[k] hit", "update"),
            sameness=sameness,
            is_shuffled=is_shuffled,
        )
        for sameness in ("equal", "same")
        for is_shuffled in (True, False)
    ]
    return _tables(plans, _main(peers), say)


def _ttl(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    sizes, calls, rounds = ((500, 2_000), 1_000, 2) if quick else ((1_000, 100_000), 50_000, 11)
    tables = []
    for n_keys in sizes:
        say(f"a time to live: {n_keys:,} int keys, {rounds} rounds")
        tables.append(_bench_ttl.measure(_main(peers), n_keys, calls, rounds))
    return {"tables": tables}


def _await(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_keys, calls, rounds = (500, 1_000, 2) if quick else (1_000, 50_000, 15)
    say(f"awaited: {n_keys:,} int keys, {rounds} rounds")
    return {"tables": [_bench_await.measure(_main(peers), n_keys, calls, rounds)]}


def _many(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    sizes, calls, rounds = ((500, 2_000), 2_000, 2) if quick else ((1_000, 100_000), 50_000, 15)
    say(f"get_many, {rounds} rounds")
    return {"tables": [_bench_many.measure(_main(peers), sizes, calls, rounds)]}


def _zipf(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    sizes, calls, rounds = ((600, 120), 2_000, 2) if quick else ((60_000, 12_000), 300_000, 5)
    say(f"zipf 1.0 with misses, {rounds} rounds")
    return {"tables": [_bench_zipf.measure(peers, sizes, calls, rounds)]}


def _memory(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    sizes = (20_000,) if quick else (1_000, 100_000, 1_000_000)
    return {"bytes": _bench_memory.measure(peers, sizes, say)}


def _pauses(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_large, n_expiring, repeats = (20_000, 2_000, 1) if quick else (1_000_000, 100_000, 2)
    return {"pauses": _bench_pauses.measure(_main(peers), n_large, n_expiring, repeats, say)}


def _threads(quick: bool, peers: Sequence[Peer], say: Say) -> dict[str, Any]:
    n_keys, calls, rounds = (500, 1_000, 1) if quick else (10_000, 50_000, 7)
    say(f"threads: {n_keys:,} int keys, {rounds} rounds")
    return {"threads": _bench_threads.measure(_main(peers), n_keys, calls, rounds)}


SECTIONS = {
    "hot": Section("1,000 int keys, every strategy", 40, _hot),
    "large": Section("100,000 int keys, every strategy", 70, _large),
    "huge": Section("1,000,000 int keys", 80, _huge),
    "keys": Section("int, str and tuple keys, same objects and fresh ones", 60, _keys),
    "order": Section("shuffled and in the order of insertion", 45, _order),
    "ttl": Section("what a time to live costs", 30, _ttl),
    "await": Section("await of a hit", 30, _await),
    "many": Section("a hundred keys at once", 20, _many),
    "zipf": Section("requests of a zipf workload, misses and all, every strategy", 60, _zipf),
    "memory": Section("bytes an entry", 85, _memory),
    "pauses": Section("the longest single calls", 80, _pauses),
    "threads": Section("1, 2 and 4 threads on one cache", 40, _threads),
}
DEFAULT = ("hot", "large", "memory")


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    return list(dict.fromkeys(peer.package for peer in PEERS if peer.package))


def run(*, quick: bool, sections: Sequence[str], say: Say) -> dict[str, Any]:
    """Measure the sections, in the order of `SECTIONS`; `say` is told what is going on."""
    peers = list(installed())
    result: dict[str, Any] = {"tables": []}
    for name, section in SECTIONS.items():
        if name in sections:
            part = section.measure(quick, peers, lambda text, name=name: say(f"{name}: {text}"))  # type: ignore[misc]
            tables = part.pop("tables", [])
            result["tables"] += [{"section": name, **table} for table in tables]
            result |= part
    return result
