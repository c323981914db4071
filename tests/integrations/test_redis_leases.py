"""One load per key over all processes: leases on a real server, holders that die or come late."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis.crc import key_slot

from raudo import SmartCache
from raudo.integrations._redis_leases import LeaseKeys
from raudo.integrations.redis import RedisTier
from raudo.types import Blob, LeasedBlob

pytestmark = pytest.mark.timeout(60)
WORKER = Path(__file__).with_name("lease_worker.py")


@pytest.fixture
def settings(redis_server, request):
    namespace = f"lease{abs(hash(request.node.name))}"
    return {"url": redis_server.url, "namespace": namespace, "timeout": 5.0}


@pytest.fixture
def tier_of(settings):
    made = []

    def make(**changes):
        made.append(RedisTier(**{**settings, **changes}))
        assert made[-1].wait_until_ready()
        return made[-1]

    yield make
    for tier in made:
        tier.close()


class Workers:
    """Processes that wait for a start."""

    def __init__(self, settings, modes, n_keys=4, load_s=0.2):
        command = [sys.executable, WORKER, json.dumps(settings), str(n_keys), str(load_s)]
        pipe = subprocess.PIPE
        self.processes = [
            subprocess.Popen([*command, mode], stdin=pipe, stdout=pipe, text=True) for mode in modes
        ]

    def __enter__(self):
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def start(self, *which):
        for process in [self.processes[n] for n in which] or self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def answers(self, *which):
        return [
            json.loads(process.stdout.readline())
            for process in [self.processes[n] for n in which] or self.processes
        ]


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_processes_load_each_key_once(settings, mode):
    with Workers({**settings, "lease": 30.0}, [mode] * 2) as workers:
        workers.start()
        answers = workers.answers()
    assert all(each["found"] == [["loaded", n] for n in range(4)] for each in answers)
    assert sum(each["loads"] for each in answers) == 4
    assert sum(each["failures"] for each in answers) == 0


def test_who_loads_and_is_killed_is_followed_by_another(settings):
    with Workers({**settings, "lease": 1.0}, ["hang", "async", "async"], n_keys=1) as workers:
        workers.start(0)
        assert workers.processes[0].stdout.readline() == "loading\n"
        workers.processes[0].kill()
        workers.start(1, 2)
        answers = workers.answers(1, 2)
    assert [each["found"] for each in answers] == [[["loaded", 0]]] * 2
    assert sum(each["loads"] for each in answers) == 1


async def test_a_server_that_dies_while_all_wait_lets_them_load(tmp_path):
    from redis_servers import Server

    server = Server(tmp_path)
    try:
        tiers = [RedisTier(server.url, lease=2.0, timeout=0.2) for _ in range(2)]
        caches = [SmartCache(100, tiers=[tier]) for tier in tiers]
        assert all(tier.wait_until_ready() for tier in tiers)
        begun, killed = asyncio.Event(), asyncio.Event()

        async def load(key):
            begun.set()
            await killed.wait()
            return "loaded"

        first = asyncio.create_task(caches[0].get_or_load("k", load))
        await begun.wait()
        second = asyncio.create_task(caches[1].get_or_load("k", load))
        await asyncio.sleep(0.05)
        server.kill()
        killed.set()
        async with asyncio.timeout(20):
            assert await asyncio.gather(first, second) == ["loaded", "loaded"]
        for cache in caches:
            await cache.close()
    finally:
        server.stop()


async def test_who_fails_hands_the_lease_on(tier_of):
    a, b = (SmartCache(100, tiers=[tier_of(lease=30.0)]) for _ in range(2))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def fail(key):
        begun.set()
        await goes_on.wait()
        raise OSError("the source is away")

    async def load(key):
        return "loaded"

    first = asyncio.create_task(a.get_or_load("k", fail))
    await begun.wait()
    second = asyncio.create_task(b.get_or_load("k", load))
    await asyncio.sleep(0.05)
    assert not second.done()
    goes_on.set()
    with pytest.raises(OSError, match="the source is away"):
        await first
    assert await second == "loaded"
    assert await a.get("k") == "loaded"


async def test_a_change_during_the_load_is_not_overwritten(tier_of):
    a, b = (SmartCache(100, tiers=[tier_of(lease=30.0)]) for _ in range(2))
    changes = {"set": lambda: b.set("set", "newer"), "delete": lambda: b.delete("delete")}

    async def load(key):
        await changes[key]()
        return "of before"

    for key, expected in (("set", "newer"), ("delete", None)):
        assert await a.get_or_load(key, load) == "of before"
        for cache in (a, b):
            cache._levels.forget(None)
            assert await cache.get(key) == expected


async def test_who_waits_too_long_loads_and_the_late_one_is_not_stored(tier_of):
    a, b = (SmartCache(100, tiers=[tier_of(lease=0.2)]) for _ in range(2))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def late(key):
        begun.set()
        await goes_on.wait()
        return "late"

    async def load(key):
        return "in time"

    first = asyncio.create_task(a.get_or_load("k", late))
    await begun.wait()
    assert await b.get_or_load("k", load) == "in time"
    goes_on.set()
    assert await first == "late"  # for who asked then, and for no one else
    for cache in (a, b):
        cache._levels.forget(None)
        assert await cache.get("k") == "in time"


async def test_a_load_that_needs_itself_does_not_wait_for_its_own_lease(tier_of):
    cache = SmartCache(100, tiers=[tier_of(lease=30.0)])
    began = time.monotonic()

    async def load(key, depth=[0]):  # noqa: B006  counts the calls
        depth[0] += 1
        return depth[0] if depth[0] > 1 else await cache.get_or_load(key, load)

    assert await cache.get_or_load("k", load) == 2
    assert time.monotonic() - began < 15


async def test_refreshes_are_made_by_one(tier_of):
    first = SmartCache(100, tiers=[tier_of(lease=30.0)])
    await first.set("k", "old", ttl=100)  # before the others are told of changes
    caches = [first, *(SmartCache(100, tiers=[tier_of(lease=30.0)]) for _ in range(2))]
    n_loads, goes_on = 0, asyncio.Event()

    async def load(key):
        nonlocal n_loads
        n_loads += 1
        await goes_on.wait()
        return "new"

    for cache in caches:
        assert await cache.get_or_load("k", load, ttl=100, refresh_ahead=200) == "old"
    await asyncio.sleep(0.1)
    assert n_loads == 1
    goes_on.set()
    until = time.monotonic() + 20
    for cache in caches:
        while await cache.get("k") != "new":
            assert time.monotonic() < until
            await asyncio.sleep(0.005)
    assert n_loads == 1


async def test_a_lease_stores_only_over_what_it_saw(tier_of):
    tier, other = tier_of(), tier_of()
    blob, payloads = Blob(b"", "bytes", 0), (b"%d" % n for n in range(9))

    async def stored_by(lease):
        payload = next(payloads)
        await tier.put_many([(b"k", LeasedBlob(payload, "bytes", 1, lease=lease))])
        return (await other.get(b"k") or blob).payload == payload

    lease = await tier.lease(b"k")
    assert await other.lease(b"k") is None
    await other.release(b"k", lease._replace(token=b"another's"))
    assert await other.lease(b"k") is None
    assert await stored_by(lease)
    assert not await stored_by(lease)  # it has ended
    seen = await tier.lease(b"k")
    await other.put(b"k", blob)
    assert not await stored_by(seen)
    again = await tier.lease(b"k")
    await other.drop(b"k")
    assert not await stored_by(again)
    cleared = await tier.lease(b"k")
    await other.aclear()
    assert not await stored_by(cleared)
    await tier.release(b"k", await tier.lease(b"k"))
    assert await other.lease(b"k") is not None


@pytest.mark.parametrize(
    "key", [b"", b"k", b"{", b"{}", b"a{b}c", b"a{}b{c}", b"{{a}}", b"a}b", b"}{a}", b"{a", b"\xff"]
)
def test_a_lease_lies_where_its_entry_does(key):
    stored = b"ns:e:" + key
    lease = LeaseKeys.of(stored)
    assert lease is None if key in (b"{}", b"a}b", b"a{}b{c}") else lease is not None
    if lease is not None:
        assert key_slot(lease) == key_slot(stored)
        assert LeaseKeys(b"ns:e:").is_one(lease)
        assert not LeaseKeys(b"s:e:").is_one(lease)
        assert not LeaseKeys(b"ns:e:").is_one(stored)
