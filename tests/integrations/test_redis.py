"""The Redis tier on a real server: shared, coherent, and harmless when the server goes away."""

import asyncio
import os
import threading
import time

import pytest

from raudo import SmartCache
from raudo.errors import Closed, TierUnavailable
from raudo.integrations.redis import RedisTier
from raudo.types import Blob
from redis_servers import Server

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def tier_of(server, request):
    made = []

    def make(**settings):
        tier = RedisTier(server.url, namespace=f"t{abs(hash(request.node.name))}", **settings)
        made.append(tier)
        assert tier.wait_until_ready()
        return tier

    yield make
    for tier in made:
        tier.close()


def cache_on(tier, **settings):
    return SmartCache(1000, tiers=[tier], **settings)


async def eventually(check, seconds=2.0):
    until = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < until
        await asyncio.sleep(0.002)


async def test_what_one_sets_the_other_reads_type_for_type(tier_of):
    a, b = cache_on(tier_of()), cache_on(tier_of())
    values = {"int": 2**80, "tuple": (1, "é", b"\0"), "set": {1, 2}, 7: None, ("k", 1): [1.5]}
    for key, value in values.items():
        await a.set(key, value)
    for key, value in values.items():
        assert await b.get(key) == value
        assert type(await b.get(key)) is type(value)
    assert await b.get_many([*values, "absent"]) == values


async def test_what_is_loaded_as_soon_as_there_is_a_cache_is_kept(server):
    async def load(key):
        await asyncio.sleep(0.1)  # longer than finding the server takes
        return "loaded"

    async with cache_on(RedisTier(server.url, namespace="at-once")) as cache:
        assert await cache.get_or_load("key", load) == "loaded"
        assert await cache.get("key") == "loaded"


async def test_a_copy_is_forgotten_when_another_changes_the_key(tier_of):
    a, b = cache_on(tier_of()), cache_on(tier_of())
    await a.set("k", 1)
    assert await b.get("k") == 1
    await a.set("k", 2)
    await eventually(lambda: _is(b, "k", 2))
    await b.delete("k")
    await eventually(lambda: _is(a, "k", None))


async def _is(cache, key, value):
    return await cache.get(key) == value


async def test_own_writes_leave_the_own_copy(tier_of):
    tier = tier_of()
    a = cache_on(tier)
    for n in range(50):
        await a.set(n, n)
    await asyncio.sleep(0.2)
    assert [await a.get(n) for n in range(50)] == list(range(50))
    assert a.get_stats()["shared"]["hits"] == 0


async def test_without_being_told_of_changes_no_copy_is_kept(server):
    with server.client() as client:
        client.acl_setuser(
            "shy", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-client"]
        )
    name = f"shy:x@127.0.0.1:{server.port}"
    a, b = cache_on(RedisTier(server.url)), cache_on(RedisTier(f"redis://{name}/0", timeout=2.0))
    for n in range(5):
        await a.set("k", n)
        assert await b.get("k") == n
        assert b.get_nowait("k") == n
        assert await b.get_many(["k", "other"]) == {"k": n}
        await b.set("mine", n)
        await a.set("mine", -n)
        assert await b.get("mine") == -n
    assert a.get_stats()["tier_failures"] == b.get_stats()["tier_failures"] == 0
    await a.close()
    await b.close()


async def test_a_stranger_who_deletes_is_heard(tier_of, server):
    a = cache_on(tier_of())
    await a.set("k", 1)
    with server.client() as client:
        names = client.keys(a._levels.shared.tier._entry_prefix + b"*")
        assert len(names) == 1
        client.delete(*names)
    await eventually(lambda: _is(a, "k", None))


async def test_the_last_to_write_is_seen_by_all(tier_of):
    """Many write one key at once: in the end all agree, whoever was last."""
    caches = [cache_on(tier_of()) for _ in range(3)]
    for turn in range(20):
        await asyncio.gather(*(c.set("k", (turn, n)) for n, c in enumerate(caches)))

        async def agree():
            return len({await c.get("k") for c in caches}) == 1

        await eventually(agree)


async def test_time_to_live_is_kept_by_the_server(tier_of, server):
    a = cache_on(tier_of())
    await a.set("k", 1, ttl=30)
    await a.set("brief", 1, ttl=0.05)
    with server.client() as client:
        prefix = a._levels.shared.tier._entry_prefix
        assert 29_000 < client.pttl(prefix + b"sk") <= 30_000
        await asyncio.sleep(0.1)
        assert client.exists(prefix + b"sbrief") == 0
    assert await a.get("brief") is None
    assert await a.touch("k", 100)
    with server.client() as client:
        assert client.pttl(prefix + b"sk") > 90_000


async def test_tags_hold_for_all_and_for_those_who_come_later(tier_of):
    a, b = cache_on(tier_of()), cache_on(tier_of())
    await a.set("k", 1, tags=["red"])
    assert await b.get("k") == 1
    await b.invalidate_tag("red")
    await eventually(lambda: _is(a, "k", None))
    late = cache_on(tier_of())
    assert await late.get("k") is None
    await late.set("k", 2, tags=["red"])
    assert await late.get("k") == 2
    await eventually(lambda: _is(a, "k", 2))


async def test_too_many_tags_start_anew(tier_of, monkeypatch):
    monkeypatch.setattr("raudo.integrations._redis_tags.MAX_TAGS", 5)
    a, b = cache_on(tier_of()), cache_on(tier_of())
    await a.set("k", 1, tags=["kept"])
    for n in range(7):
        await b.invalidate_tag(f"t{n}")
    await eventually(lambda: _is(a, "k", None))
    await a.set("k", 2, tags=["kept"])
    await eventually(lambda: _is(b, "k", 2))


async def test_clear_is_of_the_namespace_alone(tier_of, server):
    a = cache_on(tier_of())
    other = cache_on(RedisTier(server.url, namespace="another"))
    await a.set_many({n: n for n in range(3000)})
    await other.set("k", 1)
    await a.clear()
    assert await a.get_many(range(3000)) == {}
    assert await other.get("k") == 1
    with server.client() as client:
        assert client.keys(a._levels.shared.tier._entry_prefix + b"*") == []
    await other.close()


async def test_damaged_and_foreign_records_are_misses(tier_of, server):
    tier = tier_of()
    a = cache_on(tier)
    await tier.put(b"sk", Blob(b"payload", "bytes", 7))
    with server.client() as client:
        whole = client.get(tier._entry_prefix + b"sk")
        for damaged in (b"", b"x", whole[:-1], whole[:-1] + b"X", whole + b"y", b"\0" * 200):
            client.set(tier._entry_prefix + b"sk", damaged)
            assert await tier.get(b"sk") is None
        client.set(tier._entry_prefix + b"sother", whole)  # of another key
        assert await a.get("other") is None
        client.delete(tier._entry_prefix + b"sk")
        client.lpush(tier._entry_prefix + b"sk", "a list")
        assert await a.get("k") is None
        assert tier.get_nowait(b"sk") is None
        assert await tier.get_many([b"sk", b"sother"]) == [None, None]
        await a.set("k", 5)
        assert await a.get("k") == 5
    assert a.get_stats()["tier_failures"] == 0  # what is not ours is no outage


def test_without_an_event_loop_and_from_many_threads(tier_of):
    a, b = cache_on(tier_of()), cache_on(tier_of())
    wrong = []

    def work(n):
        for step in range(60):
            key = (n, step % 5)
            a.set_nowait(key, step)
            found = b.get_nowait(key)
            if found is not None and found > step:
                wrong.append((key, found))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert a.get_stats()["tier_failures"] == b.get_stats()["tier_failures"] == 0
    assert a.delete_nowait((0, 0)) is True
    assert a.delete_nowait((0, 0)) is False


def test_one_event_loop_after_another(tier_of):
    tier = tier_of()
    asyncio.run(tier.put(b"a", Blob(b"1", "bytes", 1)))
    assert asyncio.run(tier.get(b"a")) == Blob(b"1", "bytes", 1)
    assert asyncio.run(tier.drop(b"a")) is True


def test_a_child_after_a_fork_goes_on(tier_of):
    tier = tier_of()
    cache = cache_on(tier)
    cache.set_nowait("k", 1)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            ok = cache.get_nowait("k") == 1
            cache.set_nowait("k", 2)
            ok = ok and cache.get_nowait("k") == 2 and tier.wait_until_ready()
            os.write(write, b"1" if ok else b"0")
        finally:
            os._exit(0)
    assert os.read(read, 1) == b"1"
    os.waitpid(child, 0)
    until = time.monotonic() + 2
    while cache.get_nowait("k") != 2:
        assert time.monotonic() < until


def ports_of(tier):
    """Return the local ports of a tier's connections."""
    node = tier._deployment.primaries()[0]
    line = tier._tracker.line_to(node)
    connections = [*node._idle, line.listener, line.writer]
    ports = {each._sock.getsockname()[1] for each in connections}
    for opening in node._by_loop.values():
        ports.add(opening.result()._transport.get_extra_info("sockname")[1])
    return ports


def test_parent_and_child_share_no_connection(tier_of):
    """Fork after use, by threads and by an event loop; then both work at once."""
    tier = tier_of(timeout=5.0)
    loop = asyncio.new_event_loop()

    def work(who):
        for n in range(200):
            value = Blob(b"%s %d" % (who, n), "bytes", 1)
            tier.put_many_nowait([(who, value)])
            if tier.get_nowait(who) != value or loop.run_until_complete(tier.get(who)) != value:
                return False
        return True

    try:
        assert work(b"before")
        used = ports_of(tier)
        assert len(used) == 4
        read, write = os.pipe()
        child = os.fork()
        if not child:
            ok = False
            try:
                loop = asyncio.new_event_loop()
                ok = tier.wait_until_ready() and work(b"child") and not used & ports_of(tier)
            finally:
                os.write(write, b"1" if ok else b"0")
                os._exit(0)
        assert work(b"parent")
        assert os.read(read, 1) == b"1"
        os.waitpid(child, 0)
        assert ports_of(tier) == used  # the child closed none of them
        for end in (read, write):
            os.close(end)
    finally:
        loop.run_until_complete(tier.aclose())
        loop.close()


async def test_a_closed_tier_says_so(server):
    tier = RedisTier(server.url)
    await tier.aclose()
    await tier.aclose()
    with pytest.raises(Closed):
        await tier.get(b"k")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"namespace": ""}, "namespace must be"),
        ({"namespace": "a*"}, "namespace must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": "1"}, "timeout must be"),
        ({"cluster": True, "sentinel": "m"}, "give one of them"),
    ],
)
def test_wrong_settings_are_named(settings, wanted):
    with pytest.raises(ValueError, match=wanted):
        RedisTier(**settings)


# --- the server goes away ---------------------------------------------------------------------


async def test_nobody_at_the_address():
    tier = RedisTier("redis://127.0.0.1:1/0", timeout=0.2)
    cache = cache_on(tier)

    async def kept():
        await cache.set("k", 1)
        await asyncio.sleep(0.1)
        return await cache.get("k") == 1

    await eventually(kept)
    assert await cache.get("other") is None
    with pytest.raises(TierUnavailable):
        await tier.get(b"k")
    await cache.close()


async def test_a_server_that_dies_and_comes_back(tmp_path):
    server = Server(tmp_path / "own")
    try:
        a = cache_on(RedisTier(server.url, timeout=0.2))
        b = cache_on(RedisTier(server.url, timeout=0.2))
        await a.set("k", 1)
        assert await b.get("k") == 1
        server.kill()
        await eventually(lambda: _is(b, "k", None))  # a lost connection takes the copies along
        for n in range(200):
            await a.set(n, n)
            assert await a.get(n + 1000) is None
        server.start()
        await eventually(lambda: _set_and_see(a, b), 30)
        await a.close()
        await b.close()
    finally:
        server.stop()


async def _set_and_see(a, b):
    await a.set("again", 1)
    await asyncio.sleep(0.05)
    return await b.get("again") == 1 and b.get_stats()["shared"]["hits"] > 0


async def test_a_server_that_hangs_is_not_waited_for(tmp_path):
    server = Server(tmp_path / "own")
    try:
        a = cache_on(RedisTier(server.url, timeout=0.15))
        await a.set("k", 1)
        server.pause()
        async with asyncio.timeout(20):  # against a hang: the server answers no more
            assert await a.get("absent") is None
            await a.set("k", 2)
        assert a.get_stats()["tier_failures"] >= 1
        server.resume()
        await a.close()
    finally:
        server.stop()


async def test_a_namespace_that_begins_as_another_keeps_its_own(server):
    async with (
        cache_on(RedisTier(server.url, namespace="shop")) as outer,
        cache_on(RedisTier(server.url, namespace="shop:e")) as inner,
        cache_on(RedisTier(server.url, namespace="shop:e")) as witness,
    ):
        await outer.set("k", 1)
        await inner.set("k", 2)
        await outer.clear()
        assert await witness.get("k") == 2


async def test_a_tier_serves_one_cache(server, tmp_path):
    tier = RedisTier(server.url, namespace="one")
    async with cache_on(tier):
        with pytest.raises(ValueError, match="serves another cache"):
            SmartCache(1000, tiers=[tier], path=tmp_path)
        SmartCache(1000, path=tmp_path).close_nowait()  # its folder is free again
