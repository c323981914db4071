"""The Redis tier on a master and its replica that a real Sentinel watches; the master is killed."""

import pytest

from integrations.redis_load import Load, eventually, holds, set_and_hold
from raudo import SmartCache
from raudo.integrations.redis import RedisTier
from redis_servers import Watched

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
TIMEOUT_S = 0.2


async def test_a_replica_takes_over_under_load(tmp_path):
    watched = Watched(tmp_path)
    caches = []
    try:
        for timeout in (TIMEOUT_S, TIMEOUT_S, 5.0):
            tier = RedisTier(watched.url, sentinel="main", timeout=timeout)
            assert tier.wait_until_ready(30)
            caches.append(SmartCache(2000, levels=(1, 0, 0), tiers=[tier]))
        a, b, witness = caches
        await set_and_hold(witness, a, 7, "before")
        await eventually(lambda: holds(b, 7, "before"))
        async with Load([a, b], 100) as load:
            watched.master.kill()
            await eventually(load.all_miss_some)
            await eventually(load.all_hit)
        assert load.worst_s < 5 * TIMEOUT_S
        await set_and_hold(witness, a, 7, "after")
        await eventually(lambda: holds(b, 7, "after"))
    finally:
        for cache in caches:
            await cache.close()
        watched.stop()
