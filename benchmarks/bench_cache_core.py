"""The operations of the compiled cache beside its peers, as pytest-benchmark groups.

`raudo bench cache` is the interleaved comparison and the one to quote; this form is for watching
one operation while working on it:

    python -m pytest benchmarks/bench_cache_core.py -k "hit and hot" --benchmark-sort=mean
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from raudo.cli._bench_calls import OPERATIONS, check, keys_of, prepare, steps_of
from raudo.cli._bench_peers import Peer, installed


@pytest.mark.parametrize("peer", installed(), ids=lambda peer: peer.name)
@pytest.mark.parametrize("n_keys", [1_000, 100_000], ids=["hot", "large"])
@pytest.mark.parametrize("kind", ["int", "str"])
@pytest.mark.parametrize("operation", OPERATIONS)
def bench_operation(
    benchmark: Any,
    sized: Callable[[int], int],
    peer: Peer,
    n_keys: int,
    kind: str,
    operation: str,
) -> None:
    benchmark.group = f"{operation}, {n_keys} {kind} keys"
    n_keys = sized(n_keys)
    prepared = prepare(peer, keys_of(kind, range(n_keys)))
    assert check(prepared, kind, n_keys) is None
    steps = steps_of(prepared)
    if operation not in steps:
        pytest.skip(f"{peer.name} has no {operation}")
    loop, subject = steps[operation]
    known, absent = keys_of(kind, range(n_keys)), keys_of(kind, range(-n_keys, 0))
    chance = random.Random(0)
    following = iter(range(n_keys, 1 << 62, n_keys))

    def setup() -> tuple[tuple[Any, Any], dict[str, Any]]:
        if operation == "insert+evict random":
            return (subject, keys_of(kind, [chance.getrandbits(60) for _ in range(n_keys)])), {}
        if operation == "insert+evict":
            start = next(following)
            return (subject, keys_of(kind, range(start, start + n_keys))), {}
        return (subject, absent if operation == "get miss" else known), {}

    benchmark.pedantic(loop, setup=setup, rounds=10, warmup_rounds=1)
