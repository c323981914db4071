"""SmartCache against a dictionary that forgets nothing: what comes back is newest, or nothing.

Sizes are tiny, so that every few steps move something through all levels; time is turned by hand.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from raudo.cache import SmartCache
from raudo.testing import FakeClock

KEYS = st.sampled_from([0, 1, True, 2.0, "a", b"a", ("a", 1), ("a", 1.0), None, "b", 3, 4, 5, 6])
VALUES = st.one_of(
    st.integers(),
    st.none(),
    st.text(max_size=3),
    st.just("x" * 2000),
    st.lists(st.integers(), max_size=3),
    st.tuples(st.integers(), st.booleans()),
)
TAGS = st.lists(st.sampled_from(["t", "u"]), unique=True, max_size=2)
TTLS = st.sampled_from([None, None, None, 1, 5, 20])
MISS = object()


class Against(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.cache = None

    @initialize(
        shares=st.sampled_from([(1, 1, 1), (1, 2, 3), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1)]),
        size=st.integers(1, 9),
        strategy=st.sampled_from(["lru", "adaptive", "sieve", "ttl"]),
        durable=st.booleans(),
        max_bytes=st.sampled_from([None, None, 3000]),
    )
    def start(self, shares, size, strategy, durable, max_bytes):
        self.clock = FakeClock(50.0)
        self.settings = {
            "max_size": size,
            "strategy": strategy,
            "levels": shares,
            "max_bytes": max_bytes,
            "path": self.folder / "c" if durable and shares[2] else None,
            "clock": self.clock,
        }
        self.model = {}  # key -> (value, expires at or None, tags)
        self.invalidated = set()
        self.cache = SmartCache(**self.settings)

    def teardown(self):
        if self.cache is not None:
            self.cache.close_nowait()
        shutil.rmtree(self.folder)

    def live(self, key):
        if key not in self.model:
            return MISS
        value, until, _ = self.model[key]
        return MISS if until is not None and until <= self.clock.monotonic() else value

    def check(self, key, found):
        if found is not MISS:
            assert self.live(key) is not MISS
            assert found == self.live(key)
            assert type(found) is type(self.live(key))

    @rule(key=KEYS, value=VALUES, ttl=TTLS, tags=TAGS, waits=st.booleans())
    def set(self, key, value, ttl, tags, waits):
        if waits:
            asyncio.run(_await(self.cache.set(key, value, ttl, tags=tags)))
        else:
            self.cache.set_nowait(key, value, ttl, tags=tags)
        until = None if ttl is None else self.clock.monotonic() + ttl
        self.model[key] = value, until, tags
        assert self.cache.get_nowait(key, MISS) == value or self.settings["max_bytes"]

    @rule(key=KEYS, waits=st.booleans())
    def get(self, key, waits):
        if waits:
            found = asyncio.run(_await(self.cache.get(key, MISS)))
        else:
            found = self.cache.get_nowait(key, MISS)
        self.check(key, found)

    @rule(keys=st.lists(KEYS, max_size=5))
    def get_many(self, keys):
        for key, value in asyncio.run(self.cache.get_many(keys)).items():
            self.check(key, value)

    @rule(key=KEYS)
    def contains(self, key):
        if asyncio.run(_await(self.cache.contains(key))):
            assert self.live(key) is not MISS

    @rule(key=KEYS, waits=st.booleans())
    def delete(self, key, waits):
        if waits:
            gone = asyncio.run(_await(self.cache.delete(key)))
        else:
            gone = self.cache.delete_nowait(key)
        assert not gone or key in self.model or key in self.invalidated
        self.model.pop(key, None)
        assert self.cache.get_nowait(key, MISS) is MISS

    @rule(key=KEYS, ttl=st.sampled_from([1, 5, 20]))
    def touch(self, key, ttl):
        if asyncio.run(self.cache.touch(key, ttl)):
            value = self.live(key)
            assert value is not MISS
            self.model[key] = value, self.clock.monotonic() + ttl, self.model[key][2]

    @rule(key=KEYS, value=VALUES)
    def get_or_load(self, key, value):
        found = asyncio.run(_await(self.cache.get_or_load(key, lambda _: value, 5)))
        if self.live(key) is MISS or found != self.live(key):
            assert found == value
            self.model[key] = value, self.clock.monotonic() + 5, []

    @rule(tag=st.sampled_from(["t", "u"]))
    def invalidate(self, tag):
        asyncio.run(self.cache.invalidate_tag(tag))
        self.invalidated |= {key for key, each in self.model.items() if tag in each[2]}
        self.model = {key: each for key, each in self.model.items() if tag not in each[2]}

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(waits=st.booleans())
    def flush(self, waits):
        if waits:
            asyncio.run(self.cache.flush())
        else:
            self.cache.flush_nowait()

    @rule()
    def clear(self):
        asyncio.run(self.cache.clear())
        self.model.clear()
        assert len(self.cache) == 0

    @precondition(lambda self: self.cache is not None and self.settings["path"] is not None)
    @rule(waits=st.booleans())
    def restart(self, waits):
        held = {key for key in self.model if self.cache.get_nowait(key, MISS) is not MISS}
        if waits:
            asyncio.run(self.cache.close())
        else:
            self.cache.close_nowait()
        self.cache = SmartCache(**self.settings)
        # All is on the disk now. What is too much for the levels leaves as it is looked at again.
        assert len(self.cache) >= len({self.cache._levels.encode(key) for key in held})

    @invariant()
    def the_books_balance(self):
        if self.cache is None:
            return
        stats = self.cache.get_stats()
        assert len(self.cache) <= self.settings["max_size"]
        assert stats["size"] == stats["l1_size"] + stats["l2_size"] + stats["l3_size"]
        out = ("evictions", "expirations", "deletions", "replaced")
        assert stats["sets"] == stats["size"] + sum(stats[name] for name in out)
        assert stats["misses"] >= 0
        assert stats["corrupt"] == stats["tier_failures"] == stats["forbidden"] == 0
        if self.settings["max_bytes"] is not None:
            used = stats["levels"]["l1"]["bytes"] + stats["levels"]["l2"]["bytes"]
            assert used <= self.settings["max_bytes"]

    @invariant()
    def one_key_lives_in_one_level(self):
        if self.cache is None:
            return
        levels = self.cache._levels
        homes = [levels.encode(key) for key in levels.l1]
        homes += [key for key, _ in levels.l2.items()] if levels.l2 is not None else []
        if levels.cold is not None:
            for guard in levels.cold.guards:
                homes += guard.tier.live_keys()
        assert len(homes) == len(set(homes))


async def _await(awaitable):
    return await awaitable


Against.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAgainst = Against.TestCase
