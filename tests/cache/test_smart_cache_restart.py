"""SmartCache: what survives a restart or a crash, and what of it is trusted."""

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from cache.smart_caches import Item, accounts_balance, where
from raudo.cache import SmartCache
from raudo.cache.keys import encode_key
from raudo.cache.tiers import DiskTier
from raudo.errors import TierUnavailable
from raudo.types import Blob

# --- restarts ---------------------------------------------------------------------------------


def test_a_restart_is_warm_and_tags_hold(tmp_path):
    with SmartCache(30, "lru", path=tmp_path / "c") as cache:
        for n in range(30):
            cache.set_nowait(n, [n], tags=[f"t{n % 3}"])
        cache.get_nowait(0)
        asyncio.run(cache.invalidate_tag("t1"))
    with SmartCache(30, "lru", path=tmp_path / "c") as cache:
        assert asyncio.run(cache.get_many(range(30))) == {n: [n] for n in range(30) if n % 3 != 1}
        asyncio.run(cache.invalidate_tag("t2"))
        assert len(cache) <= 30
        assert accounts_balance(cache)
    with SmartCache(30, path=tmp_path / "c") as cache:
        assert asyncio.run(cache.get_many(range(30))) == {n: [n] for n in range(0, 30, 3)}
        assert accounts_balance(cache)


@pytest.mark.parametrize("damage", ["remove", "flip", "cut"])
def test_without_sound_tag_generations_nothing_tagged_is_believed(tmp_path, damage):
    with SmartCache(30, path=tmp_path / "c") as cache:
        cache.set_nowait("tagged", 1, tags=["t"])
        cache.set_nowait("plain", 1)
        asyncio.run(cache.invalidate_tag("u"))
    file = tmp_path / "c" / "tags"
    data = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with SmartCache(30, path=tmp_path / "c") as cache:
        assert cache.get_nowait("tagged") is None
        assert cache.get_nowait("plain") == 1


def test_expiry_goes_on_while_nobody_runs(tmp_path, clock):
    with SmartCache(9, path=tmp_path / "c", clock=clock) as cache:
        cache.set_nowait("short", 1, ttl=10)
        cache.set_nowait("long", 1, ttl=1000)
    clock.advance(11)
    with SmartCache(9, path=tmp_path / "c", clock=clock) as cache:
        assert cache.get_nowait("short") is None
        assert cache.get_nowait("long") == 1


@pytest.mark.parametrize("was", [10, 1000])
async def test_a_new_time_to_live_survives_a_restart(tmp_path, clock, was):
    async with SmartCache(3, "lru", levels=(1, 1, 1), path=tmp_path / "c", clock=clock) as cache:
        await cache.set("k", 1, ttl=was)
        await cache.set("other", 2)
        assert where(cache, "k") == [2]
        await cache.flush()  # writes a copy with the old time
        assert await cache.touch("k", 1010 - was)
    clock.advance(20)
    async with SmartCache(3, path=tmp_path / "c", clock=clock) as cache:
        assert await cache.get("k") == (1 if was == 10 else None)


def test_a_second_owner_is_told(tmp_path):
    with (
        SmartCache(9, path=tmp_path / "c"),
        pytest.raises(TierUnavailable, match="in use by another cache"),
    ):
        SmartCache(9, path=tmp_path / "c")
    SmartCache(9, path=tmp_path / "c").close_nowait()


KILLED = """
    from raudo.cache import SmartCache
    cache = SmartCache(4000, "lru", levels=(0.001, 0.001, 1), path={path!r})
    for n in range(100):
        for k in range(10):
            cache.set_nowait((n, k), ["v", n, k] * 50)
        cache.set_nowait("same", n)
        cache.flush_nowait()
        print(n, flush=True)
        for old in range(n + 1):  # up and down again, where a crash could lose them
            for k in range(10):
                cache.get_nowait((old, k))
        cache.set_nowait("same", -1)
        cache.set_nowait(("late", n), n)
        cache.delete_nowait("same")
"""


@pytest.mark.parametrize("rounds", [2, 7])
def test_sigkill_loses_nothing_that_was_flushed(tmp_path, rounds):
    code = textwrap.dedent(KILLED.format(path=str(tmp_path / "c")))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0
    ) as worker:
        said = b""
        while said.count(b"\n") < rounds:
            said += worker.stdout.read(64)
        worker.kill()
        while more := worker.stdout.read(64):
            said += more
    n = int(said[: said.rindex(b"\n")].split(b"\n")[-1])
    with SmartCache(4000, path=tmp_path / "c") as cache:
        for old in range(n + 1):
            for k in range(10):
                assert cache.get_nowait((old, k)) == ["v", old, k] * 50
        # Set or deleted since the flush: never an older value than the last one flushed.
        assert cache.get_nowait("same") in (None, n, n + 1, -1)
        stats = cache.get_stats()
        assert stats["corrupt"] == stats["tier_failures"] == 0


# --- trust ------------------------------------------------------------------------------------


def test_a_class_that_may_not_travel_stays_above_the_disk(tmp_path):
    with SmartCache(3, "lru", levels=(1, 1, 1), path=tmp_path / "c") as cache:
        cache.set_nowait("item", Item(1))
        cache.set_nowait("plain", 1)
        assert where(cache, "item") == [2]
        assert cache.get_nowait("item") == Item(1)
        for n in range(3):
            cache.set_nowait(n, n)
        assert cache.get_nowait("item") is None
        assert cache.get_stats()["forbidden"] == 1
        assert accounts_balance(cache)


@pytest.mark.parametrize("trust", [{"allow": [Item]}, {"secret": b"0123456789abcdef"}], ids=str)
def test_allowed_or_signed_classes_survive(tmp_path, trust):
    with SmartCache(3, levels=(1, 1, 1), path=tmp_path / "c", **trust) as cache:
        cache.set_nowait("item", Item(1))
    with SmartCache(3, path=tmp_path / "c", **trust) as cache:
        assert cache.get_nowait("item") == Item(1)
    with SmartCache(3, path=tmp_path / "c") as cache:
        assert cache.get_nowait("item") is None
        assert cache.get_stats()["forbidden"] + cache.get_stats()["corrupt"] == 1


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


def test_a_hostile_pickle_in_the_folder_is_never_loaded(tmp_path, monkeypatch):
    payload = pickle.dumps(Evil())
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("called"))
    with SmartCache(9, path=tmp_path / "c") as cache:
        data = cache._levels.encode("k")
    for codec in ("plain", "pickle", "plain+signed"):
        tier = DiskTier(tmp_path / "c")
        tier.put_nowait(data, Blob(payload, codec, len(payload)))
        tier.close()
        for secret in (None, b"0123456789abcdef"):
            with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
                assert cache.get_nowait("k", "miss") == "miss"
                stats = cache.get_stats()
                if secret is None and codec != "plain+signed":
                    assert stats["forbidden"] == 1
                assert accounts_balance(cache)


class MakesFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("codec", ["plain", "pickle"])
def test_a_hostile_pickle_is_not_loaded_for_the_listener(tmp_path, codec):
    trap, heard = tmp_path / "trap", []
    payload = pickle.dumps(MakesFolder(str(trap)))
    tier = DiskTier(tmp_path / "c")
    tier.put_nowait(encode_key("bad"), Blob(payload, codec, len(payload)))
    tier.put_nowait(encode_key("late"), Blob(payload, codec, len(payload), expires_ns=1))
    tier.close()
    with SmartCache(2, path=tmp_path / "c", on_evict=lambda *args: heard.append(args)) as cache:
        for n in range(9):
            cache.set_nowait(n, n)
    assert sorted(heard[:2], key=str) == [("bad", None, "capacity"), ("late", None, "expired")]
    assert not trap.exists()


async def test_a_hostile_pickle_is_not_loaded_after_a_touch(tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    payload = pickle.dumps([bytes(100_000), MakesFolder(str(trap))])
    async with SmartCache(9, levels=(0, 0, 1), path=tmp_path / "c") as cache:
        await cache.set("k", "good")
        tier = cache._levels.cold.guards[0].tier
        fetch, n_fetched = cache._levels.cold.fetch_async, 0

        async def swap(key):  # the record is changed once it was looked at
            nonlocal n_fetched
            n_fetched += 1
            if n_fetched == 2:
                tier.put_nowait(key, Blob(payload, "plain", len(payload)))
            return await fetch(key)

        monkeypatch.setattr(cache._levels.cold, "fetch_async", swap)
        assert not await cache.touch("k", 60)
        assert await cache.get("k") is None
    assert not trap.exists()


def test_signed_records_that_are_swapped_are_misses(tmp_path):
    secret = b"0123456789abcdef"
    with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
        cache.set_nowait("a", 1)
        cache.set_nowait("b", 2)
        a, b = cache._levels.encode("a"), cache._levels.encode("b")
    tier = DiskTier(tmp_path / "c")
    blobs = {key: tier.get_nowait(key) for key in (a, b)}
    tier.put_nowait(a, blobs[b])
    tier.put_nowait(b, blobs[a])
    tier.close()
    with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
        assert cache.get_nowait("a") is cache.get_nowait("b") is None
        assert cache.get_stats()["corrupt"] == 2
        assert accounts_balance(cache)
