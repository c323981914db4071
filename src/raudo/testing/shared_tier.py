"""The contract suite for levels that processes share: inherit it and give it its subject.

    class TestMyTier(SharedTierContract):
        def make_tier(self, space): return MyTier(url, namespace=space)

Each call of `make_tier` stands for another process. A `LeasingTier` is checked for its leases too.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.types import Blob, LeasedBlob, SharedTier, TierStats, UnwatchedBlob

__all__ = ["SharedTierContract"]

_names = itertools.count()


def _blob(data: bytes = b"payload", **changes: Any) -> Blob:
    settings: dict[str, Any] = {"codec": "bytes", "raw_bytes": len(data), **changes}
    return Blob(data, **settings)


class _Space:
    """One test's entries, the tiers that share them, and what each of these was told of."""

    def __init__(self, suite: SharedTierContract) -> None:
        self.name = f"contract-{uuid.uuid4().hex[:8]}-{next(_names)}"
        self._suite = suite
        self.tiers: list[Any] = []
        self.told: list[list[bytes | None]] = []

    def join(self) -> Any:
        tier = self._suite.make_tier(self.name)
        told: list[bytes | None] = []
        tier.watch(told.append)
        self.tiers.append(tier)
        self.told.append(told)
        return tier

    async def join_two(self) -> tuple[Any, Any]:
        """Return two tiers, once each is told of what the other changes."""
        a, b = self.join(), self.join()
        for writer, told in ((a, self.told[1]), (b, self.told[0])):
            while b"begins" not in told:
                await writer.put(b"begins", _blob(b"%d" % next(_names)))
                await asyncio.sleep(0.01)
        await self.is_told(1, b"begins")
        return a, b

    async def is_told(self, n: int, *keys: bytes) -> None:
        """Wait until a tier was told of all these keys, or of any."""
        await self.until(lambda: None in self.told[n] or set(keys) <= set(self.told[n]))

    async def until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + self._suite.patience
        while not holds():
            assert time.monotonic() < until, "what was to come did not come in time"
            await asyncio.sleep(0.002)

    def forget(self) -> None:
        for told in self.told:
            told.clear()


class SharedTierContract:
    """What `raudo.types.SharedTier` promises, and `LeasingTier` where there are leases."""

    patience = 15.0
    """Seconds within which a change has to be told of."""

    def make_tier(self, space: str) -> SharedTier:
        """Return a tier on the entries of this name; each call stands for another process."""
        raise TypeError(f"{type(self).__name__} must define make_tier")

    def _run(self, body: Callable[[_Space], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            space = _Space(self)
            try:
                await body(space)
            finally:
                for tier in space.tiers:
                    await tier.aclose()

        asyncio.run(main())

    def test_it_says_what_it_is(self) -> None:
        async def body(space: _Space) -> None:
            tier = space.join()
            assert isinstance(tier.name, str)
            assert tier.name
            assert tier.writes_through is True
            assert tier.shared is True
            assert isinstance(tier.stats(), TierStats)
            assert await tier.sweep(time.time_ns()) >= 0

        self._run(body)

    def test_what_one_puts_the_other_gets_field_by_field(self) -> None:
        later = time.time_ns() + 3600 * 10**9
        blobs = {
            b"": _blob(b""),
            b"\0\xff{}*": _blob(bytes(range(256)) * 16),
            b"tagged": _blob(tags=(("a", 1), ("\xe9", 2**63))),
            b"packed": _blob(b"x" * 10, codec="plain+lz4", raw_bytes=10_000),
            b"mortal": _blob(expires_ns=later),
            b"k" * 2000: _blob(),
        }

        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            await a.put_many(list(blobs.items()))
            assert await b.get_many([*blobs, b"absent"]) == [*blobs.values(), None]
            for key, blob in blobs.items():
                assert await b.get(key) == blob
                assert await asyncio.to_thread(a.get_nowait, key) == blob

        self._run(body)

    def test_batches_put_and_drop(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            await a.put_many([(b"%d" % n, _blob(b"%d" % n)) for n in range(1100)])
            changes = [(b"0", None), (b"1", _blob(b"new")), (b"absent", None)]
            await asyncio.to_thread(a.put_many_nowait, changes)
            await a.put_many([])
            found = await b.get_many([b"%d" % n for n in range(1100)])
            assert found == [None, _blob(b"new"), *(_blob(b"%d" % n) for n in range(2, 1100))]
            assert await b.drop(b"2") is True
            assert await a.drop(b"2") is False
            assert await asyncio.to_thread(a.drop_nowait, b"3") is True
            assert await b.get_many([b"2", b"3"]) == [None, None]

        self._run(body)

    def test_the_others_are_told_of_changes_and_the_own_are_not(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            await a.put_many([(b"put", _blob()), (b"dropped", _blob())])
            await space.is_told(1, b"put", b"dropped")
            space.forget()
            await a.put(b"put", _blob(b"new"))
            await a.drop(b"dropped")
            await space.is_told(1, b"put", b"dropped")
            await b.put(b"last", _blob())  # comes after what would have been told before
            await space.is_told(0, b"last")
            assert not {b"put", b"dropped"} & set(space.told[0])

        self._run(body)

    def test_what_is_told_is_true_already(self) -> None:
        """Who is told of a change and looks finds the new value, or a newer one."""

        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            for n in range(20):
                space.forget()
                await a.put(b"k", _blob(b"%d" % n))
                await space.is_told(1, b"k")
                assert await b.get(b"k") == _blob(b"%d" % n)

        self._run(body)

    def test_what_has_expired_is_a_miss(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            await a.put(b"k", _blob())
            await a.put(b"k", _blob(expires_ns=time.time_ns() - 1))
            assert await b.get(b"k") is None
            await a.put(b"k", _blob(expires_ns=time.time_ns() + 30_000_000))
            await space.until(lambda: b.get_nowait(b"k") is None)

        self._run(body)

    def test_a_tag_is_invalid_for_all(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            stamps, other = a.tags.stamp(["red"]), a.tags.stamp(["blue"])
            await space.until(lambda: bool(b.tags.is_current(stamps + other)))
            b.tags.invalidate("red")
            assert not b.tags.is_current(stamps)
            await b.publish_tags()
            await space.until(lambda: not a.tags.is_current(stamps))
            assert a.tags.is_current(other)
            fresh = a.tags.stamp(["red"])
            assert a.tags.is_current(fresh)
            assert b.tags.is_current(fresh)
            a.tags.invalidate("blue")
            await asyncio.to_thread(a.publish_tags_nowait)
            await space.until(lambda: not b.tags.is_current(other))

        self._run(body)

    def test_clear_is_for_all_and_of_its_own_space(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            stranger = self.make_tier(f"{space.name}-other")
            try:
                for clear in (a.aclear, lambda: asyncio.to_thread(b.clear)):
                    await stranger.put(b"k", _blob())
                    await a.put_many([(b"%d" % n, _blob()) for n in range(50)])
                    await clear()
                    assert await b.get_many([b"%d" % n for n in range(50)]) == [None] * 50
                    assert await stranger.get(b"k") == _blob()
            finally:
                await stranger.aclose()

        self._run(body)

    def test_tasks_and_threads_at_once_see_whole_blobs(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            wrong: list[object] = []

            def note(key: bytes, found: Blob | None) -> None:
                if found is not None and (
                    not found.payload.startswith(key) or len(set(found.payload.split(b";"))) > 2
                ):
                    wrong.append(found)

            def hammer(n: int) -> None:
                for step in range(30):
                    key = b"%d" % (step % 4)
                    a.put_many_nowait([(key, _blob(b"%b:%d;" % (key, n) * 100))])
                    note(key, b.get_nowait(key))

            async def work(n: int) -> None:
                for step in range(30):
                    key = b"%d" % (step % 4)
                    await b.put(key, _blob(b"%b:%d;" % (key, n) * 100))
                    note(key, await a.get(key))

            threads = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            await asyncio.gather(*(work(n) for n in range(4, 8)))
            for thread in threads:
                await asyncio.to_thread(thread.join)
            assert not wrong
            assert await a.get(b"1") == await b.get(b"1")

        self._run(body)

    def test_it_serves_one_event_loop_after_another_and_closes_twice(self) -> None:
        tier: Any = self.make_tier(f"contract-{uuid.uuid4().hex[:8]}")
        asyncio.run(tier.put(b"a", _blob()))
        assert asyncio.run(tier.get(b"a")) in (_blob(), UnwatchedBlob(b"payload", "bytes", 7))
        asyncio.run(tier.aclose())
        tier.close()

    def test_one_at_a_time_holds_a_lease(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            if not getattr(a, "lease_s", None):
                return
            lease = await a.lease(b"k")
            assert lease.token
            assert await b.lease(b"k") is None
            assert (await b.lease(b"another")).token
            await b.release(b"k", lease._replace(token=b"not its own"))
            assert await asyncio.to_thread(b.lease_nowait, b"k") is None
            await asyncio.to_thread(a.release_nowait, b"k", lease)
            assert (await b.lease(b"k")).token

        self._run(body)

    def test_what_was_loaded_is_stored_over_nothing_that_came_meanwhile(self) -> None:
        async def body(space: _Space) -> None:
            a, b = await space.join_two()
            if not getattr(a, "lease_s", None):
                return

            async def load(key: bytes, meanwhile: Coroutine[Any, Any, object]) -> Blob | None:
                lease = await a.lease(key)
                await meanwhile
                await a.put_many([(key, LeasedBlob(b"load", "bytes", 4, lease=lease))])
                found: Blob | None = await b.get(key)
                assert (await b.lease(key)).token  # the lease has ended either way
                return found

            assert await load(b"alone", asyncio.sleep(0)) == _blob(b"load")
            assert b"alone" not in space.told[0]  # it keeps its copy
            space.forget()
            assert await load(b"set", b.put(b"set", _blob(b"newer"))) == _blob(b"newer")
            assert await load(b"dropped", b.drop(b"dropped")) is None
            await space.is_told(0, b"set", b"dropped")  # it gives its copies up

        self._run(body)
