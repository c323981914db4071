"""`raudo bench cache`: nanoseconds an operation and bytes an entry, beside other caches.

All subjects run in one process, in turn within each round, so that a slow moment of the machine
falls on all of them; the figure is the median round. Before anything is timed, every subject has to
give right answers.
"""

from __future__ import annotations

import gc
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raudo.cli._bench_peers import PEERS, Peer, Subject, installed
from raudo.cli._bench_timing import LOOPS, Timing, empty_loop, quiet, summary

__all__ = [
    "OPERATIONS",
    "Plan",
    "bytes_per_entry",
    "check",
    "keys_of",
    "prepare",
    "run",
    "steps_of",
]

OPERATIONS = ("get hit", "c[k] hit", "get miss", "update", "insert+evict", "memo hit")


@dataclass(frozen=True, slots=True)
class Plan:
    """One table: a kind of key, a number of entries, and how long to measure."""

    title: str
    kind: str
    n_keys: int
    passes_of: int
    rounds: int


def plans(quick: bool, everything: bool) -> list[Plan]:
    rounds, large = (3, 5_000) if quick else (15, 100_000)
    work = 5_000 if quick else 100_000
    kinds = ("int", "str") if everything else ("int",)
    return [
        Plan(f"{size} set: {n:,} {kind} keys", kind, n, work, rounds)
        for kind in kinds
        for size, n in (("hot", 1_000), ("large", large))
    ]


def keys_of(kind: str, numbers: Sequence[int]) -> list[Any]:
    """Make new key objects: equal to those stored, seldom the same object, as in a real program."""
    if kind == "int":
        return [int(str(number)) for number in numbers]
    return [f"user:{number}" for number in numbers]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A peer's caches: one with room to spare for the hits, one full for the evictions."""

    peer: Peer
    warm: Subject
    full: Subject


def _put_all(subject: Subject, keys: Sequence[Any]) -> None:
    if subject.mapping is not None:
        LOOPS["setitem"](subject.mapping, keys)
    elif subject.set is not None:
        LOOPS["set"](subject.set, keys)
    if subject.memo is not None:
        LOOPS["call"](subject.memo, keys)


def prepare(peer: Peer, keys: Sequence[Any]) -> Prepared:
    """Make and fill the caches. The warm one has a quarter more room than it needs, because some
    libraries do not keep quite as many entries as they are told to."""
    warm, full = peer.make(len(keys) + len(keys) // 4), peer.make(len(keys))
    for subject in (warm, full):
        _put_all(subject, keys)
    return Prepared(peer, warm, full)


def check(prepared: Prepared, kind: str, n_keys: int) -> str | None:
    """Return what is wrong with a subject's answers, or None."""
    warm, full = prepared.warm, prepared.full
    keys = keys_of(kind, range(n_keys))
    absent = keys_of(kind, range(n_keys, n_keys + 100))
    if warm.get is not None:
        right = sum(warm.get(key) == warm.hit(key) for key in keys)
        if right != n_keys:
            return f"only {right} of {n_keys} keys were found in a cache with room to spare"
        if any(warm.get(key) != warm.miss for key in absent):
            return "a key that was never set was found"
    if warm.mapping is not None and any(warm.mapping[key] != key for key in keys):
        return "c[k] gave another value than was set"
    if warm.memo is not None and any(warm.memo(key) is not bool(key) for key in keys):
        return "the memoised function gave another result than the function"
    if full.size is not None and full.bounded and full.size() > n_keys * 1.01 + 100:
        return f"it holds {full.size()} entries, told to hold {n_keys}"
    return None


def steps_of(
    prepared: Prepared,
) -> dict[str, tuple[Callable[[Any, Sequence[Any]], None], Any]]:
    """Return the timed loop and its subject for each operation that the peer has."""
    warm, full = prepared.warm, prepared.full
    found: dict[str, tuple[Callable[[Any, Sequence[Any]], None], Any]] = {}
    if warm.get is not None:
        found["get hit"] = found["get miss"] = LOOPS["call"], warm.get
    if warm.mapping is not None:
        found["c[k] hit"] = LOOPS["getitem"], warm.mapping
        found["update"] = LOOPS["setitem"], warm.mapping
        found["insert+evict"] = LOOPS["setitem"], full.mapping
    elif warm.set is not None:
        found["update"] = LOOPS["set"], warm.set
        found["insert+evict"] = LOOPS["set"], full.set
    if warm.memo is not None:
        found["memo hit"] = LOOPS["call"], warm.memo
        if warm.get is None:  # nothing but a decorator: a call with a new key inserts and evicts
            found["insert+evict"] = LOOPS["call"], full.memo
    if not full.bounded:
        del found["insert+evict"]
    return found


def measure(plan: Plan, peers: Sequence[Peer]) -> dict[str, Any]:
    """Fill, check and time; return the figures of one table."""
    everyone = [prepare(peer, keys_of(plan.kind, range(plan.n_keys))) for peer in peers]
    wrong = {}
    for prepared in everyone:
        complaint = check(prepared, plan.kind, plan.n_keys)
        if complaint is not None:
            wrong[prepared.peer.name] = complaint
    subjects = [
        (each.peer.name, steps_of(each)) for each in everyone if each.peer.name not in wrong
    ]
    order = random.Random(0)
    numbers = [i % plan.n_keys for i in range(plan.passes_of)]
    order.shuffle(numbers)
    known = keys_of(plan.kind, numbers)
    absent = keys_of(plan.kind, [-1 - number for number in numbers])
    timing, loop_ns = Timing(), empty_loop(known)
    next_new = plan.n_keys
    with quiet():
        for i in range(plan.rounds + 1):
            new = keys_of(plan.kind, range(next_new, next_new + plan.passes_of))
            next_new += plan.passes_of
            order.shuffle(subjects)
            for operation in OPERATIONS:
                keys = {"get miss": absent, "insert+evict": new}.get(operation, known)
                for name, steps in subjects:
                    if operation in steps:
                        loop, subject = steps[operation]
                        if i == 0:  # a round to warm up
                            loop(subject, keys)
                        else:
                            timing.note(operation, name, loop, subject, keys)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for (operation, name), rounds in timing.items():
        figures.setdefault(name, {})[operation] = summary(rounds, loop_ns)
    return {
        "title": plan.title,
        "loop_ns": round(loop_ns, 2),
        "rounds": plan.rounds,
        "calls_a_round": plan.passes_of,
        "ns": {peer.name: figures[peer.name] for peer in peers if peer.name in figures},
        "wrong": wrong,
    }


# --- bytes ------------------------------------------------------------------------------------


def fill_and_weigh(name: str, n_entries: int) -> float:
    """Return the growth of this process, bytes an entry, keys and values not counted."""
    import psutil

    (peer,) = (each for each in PEERS if each.name == name)
    process = psutil.Process()
    peer.make(1)  # imports are not the entries' weight
    keys = keys_of("int", range(1 << 20, (1 << 20) + n_entries))
    gc.collect()
    gc.disable()
    before = process.memory_info().rss
    subject = peer.make(n_entries)
    if subject.mapping is not None or subject.set is not None:
        _put_all(Subject(mapping=subject.mapping, set=subject.set), keys)
    else:
        _put_all(Subject(memo=subject.memo), keys)
    if subject.size is not None:
        subject.size()
    return float(process.memory_info().rss - before) / n_entries


def bytes_per_entry(peer: Peer, n_entries: int) -> float:
    """Return the median of three processes of their own, so that no peer finds another's memory."""
    command = [sys.executable, "-m", "raudo.cli._bench_cache", peer.name, str(n_entries)]
    weighed = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        weighed.append(float(done.stdout))
    return statistics.median(weighed)


def run(*, quick: bool, everything: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all tables; `say` is told what is going on."""
    peers = list(installed())
    tables = []
    for plan in plans(quick, everything):
        say(f"{plan.title}, {len(peers)} subjects, {plan.rounds} rounds")
        tables.append(measure(plan, peers))
    n_entries = 50_000 if quick else 1_000_000
    say(f"bytes an entry, {n_entries:,} entries, a process each")
    weights = {peer.name: round(bytes_per_entry(peer, n_entries), 1) for peer in peers}
    return {"tables": tables, "bytes": {"n_entries": n_entries, "per_entry": weights}}


if __name__ == "__main__":
    print(fill_and_weigh(sys.argv[1], int(sys.argv[2])))
