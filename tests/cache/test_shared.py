"""A level that processes share: written through, and forgotten above when another changes it."""

import asyncio
import collections
import gc
import math
import weakref

import pytest

from cache.fake_shared import FakePartedTier, FakeSharedTier, Server
from raudo import SmartCache
from raudo._clock import SYSTEM_CLOCK
from raudo.testing import FakeClock, SharedTierContract


def two(**settings):
    server = Server()
    caches = [SmartCache(8, tiers=[FakeSharedTier(server)], **settings) for _ in range(2)]
    return server, *caches


class TestFake(SharedTierContract):
    """What these tests go by is what the contract says."""

    @pytest.fixture(autouse=True)
    def _servers(self):
        self.servers = collections.defaultdict(Server)

    def make_tier(self, space):
        return FakeSharedTier(self.servers[space], SYSTEM_CLOCK)


async def test_what_one_sets_the_other_reads():
    server, a, b = two()
    await a.set("k", [1, 2])
    assert len(server.entries) == 1
    assert await b.get("k") == [1, 2]
    assert b.get_stats()["shared"]["hits"] == 1
    assert await b.get("k") == [1, 2]
    assert server.calls.count("get") == 1  # the second from its own L1
    assert b.get_stats()["hits"] == 2


async def test_what_one_changes_the_other_forgets():
    _, a, b = two()
    await a.set("k", 1)
    assert await b.get("k") == 1
    await a.set("k", 2)
    assert await b.get("k") == 2
    assert await b.delete("k")
    assert await a.get("k") is None
    assert not await b.delete("k")


@pytest.mark.parametrize("levels", [(1.0, 0.0, 0.0), (0.2, 0.8, 0.0), (0.0, 1.0, 0.0), (0, 0, 1)])
async def test_every_arrangement_of_levels_above(levels, tmp_path):
    server, a, b = two(levels=levels)
    for n in range(30):
        await a.set(n, {"n": n})
    assert len(server.entries) == 30  # what was pushed out above is still there
    for n in range(30):
        assert await a.get(n) == await b.get(n) == {"n": n}
    for n in range(30):
        await b.set(n, -n)
    assert [await a.get(n) for n in range(30)] == [-n for n in range(30)]
    stats = a.get_stats()
    gone = sum(stats[name] for name in ("evictions", "expirations", "deletions", "replaced"))
    assert stats["sets"] <= stats["size"] + gone


async def test_no_copy_is_kept_of_what_may_change_unheard():
    _, a, b = two(loader=lambda key: "loaded")
    await a.set_many({"k": 0, "other": 0})
    b._levels.shared.tier.is_deaf = True
    for n in range(1, 4):
        await a.set("k", n)
        assert await b.get("k") == n
        assert b.get_nowait("k") == n
        assert await b.get_many(["k", "other"]) == {"k": n, "other": 0}
        assert await b.get_or_load("k") == n
    assert await b.touch("k", 5)
    assert await b.get_or_load("new") == "loaded"
    await a.set("new", "replaced")
    assert await b.get("new") == "replaced"
    b._levels.shared.tier.is_deaf = False
    assert await b.get("k") == 3
    hits = b.get_stats()["shared"]["hits"]
    assert await b.get("k") == 3
    assert b.get_stats()["shared"]["hits"] == hits


async def test_without_an_event_loop():
    server = Server()
    a, b = (SmartCache(8, tiers=[FakeSharedTier(server)]) for _ in range(2))

    def work():
        a.set_nowait("k", 1)
        assert b.get_nowait("k") == 1
        a.set_nowait("k", 2)
        assert b.get_nowait("k") == 2
        assert a.delete_nowait("k")
        assert b.get_nowait("k") is None
        a.set_nowait("t", 1, tags=["red"])
        assert b.get_nowait("t") == 1
        b.invalidate_tag_nowait("red")
        assert a.get_nowait("t") is None
        a.set_nowait("k", 3)
        b.clear_nowait()
        assert a.get_nowait("k") is None
        a.close_nowait()

    await asyncio.to_thread(work)
    assert server.tiers[0].is_closed


async def test_many_go_in_batches():
    server, a, b = two(max_bytes=1 << 20)
    await a.set_many({n: n for n in range(1000)})
    assert server.calls.count("put") <= 3
    found = await b.get_many([*range(1000), "absent"])
    assert found == {n: n for n in range(1000)}
    assert (server.calls.count("get_many"), server.calls.count("get")) == (2, 0)
    stats = b.get_stats()
    assert (stats["hits"], stats["misses"]) == (1000, 1)


async def test_tags_hold_for_all():
    _, a, b = two()
    await a.set("k", 1, tags=["red"])
    assert await b.get("k") == 1
    await b.invalidate_tag("red")
    assert await a.get("k") is None
    assert await b.get("k") is None
    spaces = [cache.namespace("n") for cache in (a, b)]
    await spaces[0].set("k", 5)
    assert await spaces[1].get("k") == 5
    await spaces[1].clear()
    assert await spaces[0].get("k") is None


async def test_a_time_to_live_goes_along():
    server = Server()
    clock = FakeClock(1000.0)
    a, b = (SmartCache(8, tiers=[FakeSharedTier(server)], clock=clock) for _ in range(2))
    await a.set("k", 1, ttl=10)
    assert await b.get("k") == 1
    assert await b.touch("k", 100)
    clock.advance(50)
    assert await a.get("k") == 1
    clock.advance(51)
    assert await a.get("k") is None
    assert await b.get("k") is None
    await a.set("for ever", 1, ttl=math.inf)
    assert [blob.expires_ns for key, blob in server.entries.items() if key == b"sfor ever"] == [0]


async def test_a_change_during_a_read_is_not_missed():
    _, a, b = two()
    await a.set("k", 1)
    read = asyncio.create_task(b.get("k"))
    await asyncio.sleep(0)
    await a.set("k", 2)
    assert await read in (1, 2)
    assert await b.get("k") == 2


async def test_a_change_during_a_load_voids_it():
    _, a, b = two()
    started, go = asyncio.Event(), asyncio.Event()

    async def load(key):
        started.set()
        await go.wait()
        return "old"

    loading = asyncio.create_task(b.get_or_load("k", load))
    await started.wait()
    await a.set("k", "new")
    go.set()
    await loading
    assert await b.get("k") == "new"


async def test_a_lost_connection_flushes_all_copies():
    server, a, b = two()
    await a.set_many({n: n for n in range(6)})
    await b.get_many(range(6))
    server.entries.clear()
    server.tiers[1].changed(None)
    assert await b.get_many(range(6)) == {}


async def test_a_server_that_is_away_harms_nobody():
    server, a, b = two()
    await a.set("k", 1)
    assert await b.get("k") == 1
    server.is_down = True
    await a.set("k", 2)
    await a.set("new", 3)
    assert await a.get("k") == 2
    assert await b.get("other") is None
    assert await a.delete("new") is True
    stats = a.get_stats()
    assert stats["tier_failures"] >= 1
    n_calls = len(server.calls)
    for n in range(50):
        await a.set(n, n)
    assert len(server.calls) == n_calls  # it rests


async def test_what_could_not_be_written_is_not_read_back_as_it_was():
    server = Server()
    clock = FakeClock(1000.0)
    a, b = (
        SmartCache(4, "lru", levels=(1, 0, 0), tiers=[FakeSharedTier(server)], clock=clock)
        for _ in range(2)
    )
    await a.set("k", "old")
    server.is_down = True
    await a.set("k", "new")
    for n in range(20):
        await a.set(n, n)
    assert await a.get("k") is None  # pushed out; there it is the old one
    server.is_down = False
    clock.advance(120)
    assert await a.get("k") is None
    await a.set("x", 1)
    await a.flush()
    assert b"sk" not in server.entries  # dropped as soon as that could be
    assert await b.get("k") is None
    assert await b.get("x") == 1


async def test_one_who_only_reads_settles_doubts_too():
    server = Server()
    clock = FakeClock(1000.0)
    a, b = (
        SmartCache(4, "lru", levels=(1, 0, 0), tiers=[FakeSharedTier(server)], clock=clock)
        for _ in range(2)
    )
    server.is_down = True
    await a.set("k", "lost")
    server.is_down = False
    clock.advance(120)
    for n in range(8):
        await a.get(n)
    await a.flush()
    await b.set("k", "later")
    assert await a.get("k") == "later"


async def test_too_many_doubts_clear_it(monkeypatch):
    monkeypatch.setattr("raudo.cache.shared._MAX_DOUBTFUL", 10)
    server = Server()
    clock = FakeClock(1000.0)
    a = SmartCache(4, "lru", tiers=[FakeSharedTier(server)], clock=clock)
    await a.set_many(dict.fromkeys(range(20), "old"))
    server.is_down = True
    await a.set_many(dict.fromkeys(range(20), "new"))
    server.is_down = False
    clock.advance(120)
    assert await a.get(0) is None
    await a.set("k", 1)
    assert list(server.entries) == [b"sk"]


def parted():
    server, clock = Server(), FakeClock(1000.0)
    cache = SmartCache(4, "lru", levels=(1, 0, 0), tiers=[FakePartedTier(server)], clock=clock)
    return server, clock, cache


async def test_too_many_doubts_of_one_server_stop_no_reads_of_the_others(monkeypatch):
    monkeypatch.setattr("raudo.cache.shared._MAX_DOUBTFUL", 10)
    server, clock, a = parted()
    keys = [f"{n:02}" for n in range(60)]
    _, others = keys_by_server(server, keys)
    await a.set_many(dict.fromkeys(keys, "old"))
    server.away = {0}
    await a.set_many(dict.fromkeys(keys, "new"))
    clock.advance(2)
    found = await a.get_many(keys)
    assert found.keys() >= set(others)
    assert set(found.values()) == {"new"}
    await a.set(others[0], "newer")  # nor writes
    assert len(server.entries) == len(keys)
    server.away = set()
    clock.advance(2)
    await a.get("nothing")  # who only reads has them cleared too
    await a.flush()
    assert len(server.entries) == len(others)
    assert set((await a.get_many(keys)).values()) == {"new", "newer"}


async def test_a_clear_that_one_server_missed_is_made_up_for():
    server, clock, a = parted()
    keys = [f"{n:02}" for n in range(60)]
    mine, others = keys_by_server(server, keys)
    await a.set_many(dict.fromkeys(keys, 1))
    server.away = {0}
    await a.clear()
    await a.set_many(dict.fromkeys(others, 2))
    server.away = set()
    found = await a.get_many(keys)
    assert found == dict.fromkeys(others, 2)
    clock.advance(2)
    assert await a.get_many(keys) == found
    await a.set(mine[0], 3)
    assert len(server.entries) == len(others) + 1


def keys_by_server(server, keys):
    """Return the keys of the first of its servers, and of the others."""
    (tier,) = server.tiers
    mine = [key for key in keys if tier.part_of(key.encode()) == 0]
    return mine, [key for key in keys if key not in mine]


async def test_what_may_not_travel_stays_above():
    class Local:
        pass

    server, a, b = two()
    value = Local()
    await a.set("k", 1)
    await a.set("k", value)
    assert await a.get("k") is value
    assert await b.get("k") is None  # and the older value is gone
    assert not server.entries
    stats = a.get_stats()
    assert stats["forbidden"] + stats["unpicklable_values"] == 1


async def test_signed_records_travel_between_those_who_know_the_secret():
    server = Server()
    a, b = (SmartCache(4, tiers=[FakeSharedTier(server)], secret="s" * 32) for _ in range(2))
    stranger = SmartCache(4, tiers=[FakeSharedTier(server)], secret="t" * 32)
    await a.set("k", complex(1, 2))
    assert await b.get("k") == complex(1, 2)
    assert await stranger.get("k") is None
    assert stranger.get_stats()["corrupt"] == 1


async def test_large_values_are_written_whole():
    _, a, b = two()
    value = [{"text": "x" * 100, "n": n} for n in range(5000)]
    await a.set("k", value)
    assert await b.get("k") == value


async def test_many_tasks_wait_for_their_own_writes():
    server, a, _ = two()

    async def write(n):
        await a.set(n % 7, n)
        assert server.entries.keys() >= {b"i%d" % (n % 7)}

    await asyncio.gather(*(write(n) for n in range(100)))


async def test_the_tier_keeps_no_cache_alive():
    server = Server()
    tier = FakeSharedTier(server)
    cache = SmartCache(4, tiers=[tier])
    await cache.set("k", 1)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    tier.changed(b"sk")
    tier.changed(None)


def test_two_shared_tiers_are_refused():
    server = Server()
    with pytest.raises(ValueError, match="at most one may be written through"):
        SmartCache(4, tiers=[FakeSharedTier(server), FakeSharedTier(server)])


async def test_the_disk_may_stand_between(tmp_path):
    server = Server()
    a = SmartCache(20, levels=(0.2, 0, 0.8), tiers=[FakeSharedTier(server)], path=tmp_path)
    b = SmartCache(20, tiers=[FakeSharedTier(server)])
    await a.set_many({n: n for n in range(10)})
    assert a.get_stats()["l3_size"] > 0
    assert [await a.get(n) for n in range(10)] == list(range(10))
    await b.set_many({n: -n for n in range(10)})
    assert [await a.get(n) for n in range(10)] == [-n for n in range(10)]
    await a.close()
