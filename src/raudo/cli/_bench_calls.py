"""Nanoseconds an operation: hits, misses, updates, evictions and memoised calls, by kind of key.

Before anything is timed, every subject has to give right answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raudo.cli._bench_peers import Peer, Subject
from raudo.cli._bench_timing import LOOPS, Loop, empty_loop, interleave, summaries, timed

__all__ = [
    "HITS",
    "OPERATIONS",
    "Plan",
    "check",
    "keys_of",
    "measure",
    "prepare",
    "put_all",
    "steps_of",
]

HITS = ("get hit", "c[k] hit", "get miss", "update")
OPERATIONS = (*HITS, "insert+evict", "insert+evict random", "memo hit")
_INSERTS = ("insert+evict", "insert+evict random")

# What a column is compared with, where not with a dict: that neither evicts nor memoises.
BASE = dict.fromkeys((*_INSERTS, "memo hit"), "functools.lru_cache")
_MAX_CHECKED = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """One table: which keys, in which order, which operations, and how long to measure."""

    title: str
    kind: str
    n_keys: int
    calls: int
    rounds: int
    operations: Sequence[str] = OPERATIONS
    sameness: str = "equal"
    """Keys asked for are "equal" objects made anew for each round, the "same" objects as those
    stored, or "fresh" ones, made for each pass, so that no hash is remembered in them."""
    is_shuffled: bool = True


def keys_of(kind: str, numbers: Sequence[int]) -> list[Any]:
    """Make new key objects: equal to those stored, seldom the same object, as in a real program."""
    if kind == "int":
        return [int(str(number)) for number in numbers]
    if kind == "tuple":
        return [("user", int(str(number))) for number in numbers]
    return [f"user:{number}" for number in numbers]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A peer's caches: one with room to spare for the hits, one full for the evictions."""

    peer: Peer
    warm: Subject
    full: Subject


def put_all(subject: Subject, keys: Sequence[Any], *, memo: bool = False) -> None:
    """Store every key as its own value; in the memoised function too where it is asked for or all
    there is."""
    if subject.mapping is not None:
        LOOPS["setitem"](subject.mapping, keys)
    elif subject.set is not None:
        LOOPS["set"](subject.set, keys)
    if subject.memo is not None and (memo or subject.is_decorator_only):
        LOOPS["call"](subject.memo, keys)


def prepare(peer: Peer, keys: Sequence[Any], operations: Sequence[str] = OPERATIONS) -> Prepared:
    """Make and fill the caches. The warm one has a quarter more room than it needs, because some
    libraries do not keep quite as many entries as they are told to."""
    warm, full = peer.make(len(keys) + len(keys) // 4), peer.make(len(keys))
    put_all(warm, keys, memo="memo hit" in operations)
    if any(each in operations for each in _INSERTS):
        put_all(full, keys)
    return Prepared(peer, warm, full)


def check(prepared: Prepared, kind: str, n_keys: int) -> str | None:
    """Return what is wrong with a subject's answers, or None."""
    warm, full = prepared.warm, prepared.full
    keys = keys_of(kind, range(0, n_keys, max(1, n_keys // _MAX_CHECKED)))
    absent = keys_of(kind, range(n_keys, n_keys + 100))
    if warm.get is not None:
        right = sum(warm.get(key) == warm.hit(key) for key in keys)
        if right != len(keys):
            return f"only {right} of {len(keys)} keys were found in a cache with room to spare"
        if any(warm.get(key) != warm.miss for key in absent):
            return "a key that was never set was found"
    if warm.mapping is not None and any(warm.mapping[key] != key for key in keys):
        return "c[k] gave another value than was set"
    if warm.memo is not None and any(warm.memo(key) is not bool(key) for key in keys[:1000]):
        return "the memoised function gave another result than the function"
    if full.size is not None and full.bounded and full.size() > n_keys * 1.01 + 100:
        return f"it holds {full.size()} entries, told to hold {n_keys}"
    return None


def steps_of(prepared: Prepared) -> dict[str, tuple[Loop, Any]]:
    """Return the timed loop and its subject for each operation that the peer has."""
    warm, full = prepared.warm, prepared.full
    found: dict[str, tuple[Loop, Any]] = {}
    if warm.get is not None:
        found["get hit"] = found["get miss"] = LOOPS["call"], warm.get
    insert: tuple[Loop, Any] | None = None
    if warm.mapping is not None:
        found["c[k] hit"] = LOOPS["getitem"], warm.mapping
        found["update"] = LOOPS["setitem"], warm.mapping
        insert = LOOPS["setitem"], full.mapping
    elif warm.set is not None:
        found["update"] = LOOPS["set"], warm.set
        insert = LOOPS["set"], full.set
    elif warm.memo is not None:  # a call with a new key inserts and evicts
        insert = LOOPS["call"], full.memo
    if insert is not None and full.bounded:
        found |= dict.fromkeys(_INSERTS, insert)
    if warm.memo is not None:
        found["memo hit"] = LOOPS["call"], warm.memo
    return found


class _Keys:
    """The keys of a round: known, absent, and new ones in ascending and in random order."""

    def __init__(self, plan: Plan, stored: Sequence[Any]) -> None:
        self.plan = plan
        self.stored = stored
        self.numbers = [i % plan.n_keys for i in range(plan.calls)]
        self.random = random.Random(0)
        self.next_new = plan.n_keys
        self.begin_round()

    def begin_round(self) -> None:
        plan = self.plan
        if plan.is_shuffled:
            self.random.shuffle(self.numbers)
        self.known = self._known()
        self.absent = keys_of(plan.kind, [-1 - number for number in self.numbers])
        if "insert+evict" in plan.operations:
            self.ascending = keys_of(plan.kind, range(self.next_new, self.next_new + plan.calls))
            self.next_new += plan.calls
        if "insert+evict random" in plan.operations:
            some = [self.random.getrandbits(60) | 1 << 60 for _ in range(plan.calls)]
            self.scattered = keys_of(plan.kind, some)

    def _known(self) -> list[Any]:
        if self.plan.sameness == "same":
            return [self.stored[number] for number in self.numbers]
        return keys_of(self.plan.kind, self.numbers)

    def of(self, operation: str) -> Sequence[Any]:
        if self.plan.sameness == "fresh":
            self.known = self._known()
            if operation == "get miss":
                return keys_of(self.plan.kind, [-1 - number for number in self.numbers])
        if operation == "get miss":
            return self.absent
        if operation in _INSERTS:
            return self.ascending if operation == "insert+evict" else self.scattered
        return self.known


def measure(plan: Plan, peers: Sequence[Peer]) -> dict[str, Any]:
    """Fill, check and time; return the figures of one table."""
    stored = keys_of(plan.kind, range(plan.n_keys))
    keys = _Keys(plan, stored)
    wrong: dict[str, str] = {}
    passes: dict[str, dict[str, Callable[[], float]]] = {each: {} for each in plan.operations}
    everyone = []
    for peer in peers:
        tiny = prepare(peer, keys_of(plan.kind, range(2)), plan.operations)
        if not set(steps_of(tiny)) & set(plan.operations):
            continue
        prepared = prepare(peer, stored, plan.operations)
        everyone.append(prepared)
        complaint = check(prepared, plan.kind, plan.n_keys)
        if complaint is not None:
            wrong[peer.name] = complaint
            continue
        for operation, (loop, subject) in steps_of(prepared).items():
            if operation in plan.operations:

                def one_pass(
                    loop: Loop = loop, subject: Any = subject, operation: str = operation
                ) -> float:
                    return timed(loop, subject, keys.of(operation))

                passes[operation][peer.name] = one_pass
    loop_ns = empty_loop(keys.known)
    found = interleave(passes, plan.rounds, keys.begin_round)
    return {
        "title": plan.title,
        "columns": [each for each in plan.operations if passes[each]],
        "base": {each: BASE.get(each, "dict") for each in plan.operations},
        "loop_ns": round(loop_ns, 2),
        "rounds": plan.rounds,
        "calls_a_round": plan.calls,
        "ns": summaries(found, [peer.name for peer in peers], loop_ns),
        "wrong": wrong,
    }
