"""The contract of an eviction policy, as a suite that any `EvictionPolicy` object can be put to.

    from raudo.testing.policy import check_policy
    check_policy(MyPolicy)

A policy orders slots: numbers of entries, dense from 0 and used again once freed. The suite drives
it as a cache does, with random programs, and checks after each step what every policy owes its
cache, whatever its order: a victim is a slot that is in use, asking for it changes nothing that a
caller could see, a removed slot is forgotten, and memory does not grow with what is gone. pytest is
not needed; what is wrong is an `AssertionError` that says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from raudo._core.cache import Cache
from raudo.types import EvictionPolicy

__all__ = ["check_policy", "check_strategy"]

_HASH_BITS = 32


def check_policy(make: Callable[[], EvictionPolicy], *, seed: int = 0, steps: int = 2000) -> None:
    """Check the policy that `make()` returns, by itself and inside a `Cache`.

    Args:
        make: Called without arguments, returns a new policy each time.
        seed: Of the random programs.
        steps: Length of each of them; 2,000 take about 50 ms.

    Raises:
        AssertionError: Names the rule that was broken and when.
    """
    _check_shape(make())
    _check_empty(make())
    _check_slots(make(), random.Random(seed), steps)
    _check_emptying(make(), random.Random(seed))
    _check_reuse(make())
    _check_size(make(), steps)
    check_strategy(make, seed=seed, steps=steps)


def check_strategy(strategy: Any, *, seed: int = 0, steps: int = 2000) -> None:
    """Check a strategy inside a `Cache`: its name, or a callable that returns a new policy."""
    for maxsize in (1, 2, 7, 50):
        _check_in_cache(strategy, maxsize, random.Random(seed), steps)
    _check_readable(strategy, random.Random(seed))


def _check_shape(policy: EvictionPolicy) -> None:
    kind = type(policy).__name__
    name = getattr(policy, "name", None)
    assert isinstance(name, str), f"{kind}.name must be a str, got {name!r}"
    assert name, f"{kind}.name must not be empty"
    for method in ("on_insert", "on_hit", "on_remove", "victim", "admits"):
        assert callable(getattr(policy, method, None)), f"{kind} has no method {method}"


def _check_empty(policy: EvictionPolicy) -> None:
    try:
        slot = policy.victim()
    except LookupError:
        return
    raise AssertionError(f"victim() of an empty policy must raise LookupError, it returned {slot}")


def _victim(policy: EvictionPolicy, used: set[int], when: str) -> int:
    try:
        slot = policy.victim()
    except LookupError as error:
        raise AssertionError(
            f"{when}: victim() raised {error!r} although {len(used)} slots are in use"
        ) from error
    assert isinstance(slot, int), f"{when}: victim() must return an int, got {slot!r}"
    assert slot in used, f"{when}: victim() returned {slot}, which is not in use"
    return slot


def _check_slots(policy: EvictionPolicy, random_: random.Random, steps: int) -> None:
    """Drive the policy with a random program, and watch what it returns."""
    used: set[int] = set()
    free: list[int] = []
    hashes: dict[int, int] = {}
    for step in range(steps):
        act = random_.random()
        if not used or (act < 0.45 and len(used) < 40):
            slot = free.pop() if free else len(used)
            key_hash = random_.getrandbits(_HASH_BITS)
            policy.on_insert(slot, key_hash, random_.randrange(1, 4))
            used.add(slot)
            hashes[slot] = key_hash
        elif act < 0.75:
            policy.on_hit(random_.choice(sorted(used)))
        elif act < 0.85:
            slot = random_.choice(sorted(used))
            policy.on_remove(slot)
            used.remove(slot)
            free.append(slot)
        else:
            slot = _victim(policy, used, f"step {step}")
            admits = policy.admits(random_.getrandbits(_HASH_BITS), slot)
            assert isinstance(admits, bool), f"admits() must return a bool, got {admits!r}"
            if random_.random() < 0.8:
                policy.on_remove(slot)
                used.remove(slot)
                free.append(slot)
            else:  # asking again, with nothing in between, must be possible
                _victim(policy, used, f"step {step}, asked twice")
        if used:
            _victim(policy, used, f"after step {step}")


def _check_emptying(policy: EvictionPolicy, random_: random.Random) -> None:
    """Every slot is a victim once; then there is none."""
    for size in (1, 2, 33):
        used = set(range(size))
        for slot in range(size):
            policy.on_insert(slot, random_.getrandbits(_HASH_BITS), 1)
        for _ in range(3 * size):
            policy.on_hit(random_.randrange(size))
        while used:
            slot = _victim(policy, used, f"emptying {size} slots")
            policy.on_remove(slot)
            used.remove(slot)
        _check_empty(policy)


def _check_reuse(policy: EvictionPolicy) -> None:
    """A slot that is used again is a newcomer: what its last tenant did does not count."""
    for slot in range(3):
        policy.on_insert(slot, slot, 1)
    for _ in range(50):
        policy.on_hit(1)
    policy.on_remove(1)
    policy.on_remove(0)
    policy.on_insert(0, 77, 1)
    policy.on_remove(2)
    assert _victim(policy, {0}, "after slots were used again") == 0
    policy.on_insert(1, 78, 1)
    _victim(policy, {0, 1}, "after slots were used again")


def _check_size(policy: EvictionPolicy, steps: int) -> None:
    """What a policy keeps must not grow with the number of keys that ever were."""
    capacity = 16
    used = set(range(capacity))
    for slot in range(capacity):
        policy.on_insert(slot, slot, 1)
    sizes = []
    for turn in (1, 2):
        for step in range(steps):
            slot = _victim(policy, used, "in a full cache")
            policy.on_remove(slot)
            policy.on_insert(slot, turn * steps + step, 1)
        sizes.append(_held(policy))
    first, second = sizes
    assert second <= first + first // 4 + 64, (
        f"the policy holds {second} objects after twice the keys that left it with {first}: "
        "it does not forget what was removed"
    )


def _held(policy: EvictionPolicy) -> int:
    """Count the items of the containers that a policy reaches through its attributes."""
    seen: set[int] = set()
    waiting: list[Any] = [policy]
    total = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            total += len(item)
            waiting += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)) or hasattr(item, "popleft"):
            total += len(item)
            waiting += item
        else:
            waiting += getattr(item, "__dict__", {}).values()
    return total


def _check_in_cache(strategy: Any, maxsize: int, random_: random.Random, steps: int) -> None:
    reports: list[tuple[Any, Any, str]] = []
    cache: Cache[int, int] = Cache(
        maxsize,
        strategy=strategy() if callable(strategy) else strategy,
        on_evict=lambda key, value, reason: reports.append((key, value, reason)),
    )
    n_sets = 0
    for step in range(steps):
        key = random_.randrange(3 * maxsize)
        act = random_.random()
        when = f"step {step} in a cache of {maxsize}"
        if act < 0.5:
            cache[key] = step
            n_sets += 1
            assert cache.peek(key) == step, f"{when}: what was just set cannot be read back"
        elif act < 0.85:
            cache.get(key)
        elif act < 0.95:
            cache.pop(key, None)
        else:
            cache.resize(random_.choice((maxsize, max(maxsize // 2, 1))))
        size = len(cache)
        assert size <= maxsize, f"{when}: it holds {size} entries"
        assert n_sets == size + len(reports), (
            f"{when}: {n_sets} were set, {size} are held and {len(reports)} were reported"
        )
        assert len(set(cache)) == size, f"{when}: iteration does not give each key once"
    cache.clear()
    assert len(cache) == 0


def _check_readable(strategy: Any, random_: random.Random) -> None:
    """A newcomer may be turned away, but not before its setter could read it."""
    cache: Cache[int, int] = Cache(8, strategy=strategy() if callable(strategy) else strategy)
    for key in range(8):
        cache[key] = key
        for _ in range(20):
            cache.get(key)
    for key in range(100, 200):
        cache[key] = key
        assert cache.get(key) == key, "what was just set cannot be read back"
        cache.get(random_.randrange(8))
