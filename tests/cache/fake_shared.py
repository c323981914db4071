"""A level that processes share, without processes: several caches over one server in memory."""

from __future__ import annotations

import asyncio

from raudo.cache.tags import TagGenerations
from raudo.errors import ServerUnavailable
from raudo.types import TierStats, UnwatchedBlob


class Server:
    """What a server holds, and who is to be told of changes."""

    def __init__(self):
        self.entries = {}
        self.tiers = []
        self.is_down = False
        self.away = set()
        self.calls = []

    def write(self, tier, changes):
        self.check("put")
        for key, blob in changes:
            if blob is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = blob
        for other in self.tiers:
            if (other is tier) == other.is_deaf:  # who does not hear gives its own copies up too
                for key, _ in changes:
                    other.changed(key)

    def check(self, operation):
        self.calls.append(operation)
        if self.is_down:
            raise ConnectionError("the server is down")


class FakeSharedTier:
    """`is_deaf` stops it from hearing of what others change; with a clock entries expire."""

    name = "fake"
    survives_restart = True
    shared = True
    writes_through = True

    def __init__(self, server, clock=None):
        self.clock = clock
        self.server = server
        self.tags = TagGenerations()
        if server.tiers:
            self.tags._base = server.tiers[0].tags._base
        self.changed = lambda key: None
        self.is_closed = self.is_deaf = False
        server.tiers.append(self)

    def watch(self, changed):
        self.changed = changed

    def get_nowait(self, key):
        self.server.check("get")
        return self._read(key)

    def _read(self, key):
        blob = self.server.entries.get(key)
        if blob is not None and self.clock and 0 < blob.expires_ns <= self.clock.time_ns():
            blob = None
        if blob is None or not self.is_deaf:
            return blob
        return UnwatchedBlob(blob.payload, blob.codec, blob.raw_bytes, blob.expires_ns, blob.tags)

    def put_many_nowait(self, changes):
        self.server.write(self, changes)

    def drop_nowait(self, key):
        there = key in self.server.entries
        self.server.write(self, [(key, None)])
        return there

    def publish_tags_nowait(self):
        self.server.check("tags")
        for other in self.server.tiers:
            other.tags._generations.update(self.tags._generations)

    def clear(self):
        self.server.check("clear")
        self.server.entries.clear()
        for other in self.server.tiers:
            if other is not self:
                other.changed(None)

    def close(self):
        self.is_closed = True

    async def get(self, key):
        await asyncio.sleep(0)
        return self.get_nowait(key)

    async def get_many(self, keys):
        await asyncio.sleep(0)
        self.server.check("get_many")
        return [self._read(key) for key in keys]

    async def put(self, key, blob):
        await self.put_many([(key, blob)])

    async def put_many(self, changes):
        await asyncio.sleep(0)
        self.server.write(self, changes)
        await asyncio.sleep(0)

    async def drop(self, key):
        await asyncio.sleep(0)
        return self.drop_nowait(key)

    async def publish_tags(self):
        self.publish_tags_nowait()

    async def aclear(self):
        self.clear()

    async def sweep(self, now_ns):
        return 0

    def stats(self):
        return TierStats(entries=len(self.server.entries), bytes_used=0)

    async def aclose(self):
        self.close()


class FakePartedTier(FakeSharedTier):
    """One on three servers, by the last byte of a key; those in `server.away` do not answer."""

    parts = range(3)

    def part_of(self, key):
        return key[-1] % 3

    def _asked(self, keys):
        lost = [key for key in keys if self.part_of(key) in self.server.away]
        if lost:
            raise ServerUnavailable("away", keys=lost)

    def get_nowait(self, key):
        self._asked([key])
        return super().get_nowait(key)

    async def put_many(self, changes):
        lost = [key for key, _ in changes if self.part_of(key) in self.server.away]
        await super().put_many([change for change in changes if change[0] not in lost])
        self._asked(lost)

    async def get_many(self, keys):
        found = await super().get_many(keys)
        is_lost = [self.part_of(key) in self.server.away for key in keys]
        return [None if lost else blob for lost, blob in zip(is_lost, found, strict=True)]

    def clear(self):
        self.clear_parts(self.parts)
        if self.server.away:
            raise ServerUnavailable("away")

    def clear_parts(self, parts):
        cleared = set(parts) - self.server.away
        self.server.check(f"clear {sorted(cleared)}")
        if not cleared:
            raise ServerUnavailable("away")
        for key in [key for key in self.server.entries if self.part_of(key) in cleared]:
            del self.server.entries[key]
        return cleared
