"""A process that loads keys through a cache over Redis, for the tests of leases.

    lease_worker.py SETTINGS(json) N_KEYS SECONDS_OF_A_LOAD MODE

Prints a line when it is ready, begins with the first line on standard input, and prints what it
read and how often it loaded. MODE "async" or "sync"; "hang" loads the first key for ever.
"""

import asyncio
import json
import sys
import time

from raudo import SmartCache
from raudo.integrations.redis import RedisTier


def main():
    settings, n_keys, load_s, mode = sys.argv[1:]
    tier = RedisTier(**json.loads(settings))
    assert tier.wait_until_ready(20)
    cache = SmartCache(100, tiers=[tier])
    loads = 0

    @cache.memoize()
    def load_now(n):
        nonlocal loads
        loads += 1
        time.sleep(float(load_s))
        return ["loaded", n]

    async def load(n):
        nonlocal loads
        loads += 1
        if mode == "hang":
            print("loading", flush=True)
            await asyncio.sleep(100)
        await asyncio.sleep(float(load_s))
        return ["loaded", n]

    async def read():
        return await asyncio.gather(*(cache.get_or_load(n, load) for n in range(int(n_keys))))

    print("ready", flush=True)
    sys.stdin.readline()
    found = [load_now(n) for n in range(int(n_keys))] if mode == "sync" else asyncio.run(read())
    print(json.dumps({"found": found, "loads": loads, "failures": _failures(cache)}), flush=True)
    cache.close_nowait()


def _failures(cache):
    return cache.get_stats()["tier_failures"]


main()
