"""The contract suite for cache levels: inherit it in a test class and give it its subject.

    class TestMyTier(TierContract):
        def make_tier(self, clock): return MyTier(clock=clock)

A tier that survives a restart also defines `reopen`, which opens again what `make_tier` opened.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.testing.clock import FakeClock
from raudo.types import Blob, Tier, TierStats

__all__ = ["TierContract"]

_SECOND_NS = 10**9


def _blob(data: bytes = b"payload", **changes: Any) -> Blob:
    settings: dict[str, Any] = {"codec": "bytes", "raw_bytes": len(data), **changes}
    return Blob(data, **settings)


class TierContract:
    """What `raudo.types.Tier` promises."""

    def make_tier(self, clock: FakeClock) -> Tier:
        """Return an empty tier that holds at least 64 entries of 4 KiB and reads this clock."""
        raise TypeError(f"{type(self).__name__} must define make_tier")

    def reopen(self, clock: FakeClock) -> Tier:
        """Return the tier that `make_tier` returned last, opened anew after it was closed."""
        raise TypeError(f"{type(self).__name__} must define reopen")

    def _run(self, body: Callable[[Tier, FakeClock], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            clock = FakeClock(1000.0)
            tier = self.make_tier(clock)
            try:
                await body(tier, clock)
            finally:
                await tier.aclose()

        asyncio.run(main())

    def test_it_has_a_name_and_says_whether_it_survives(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            assert tier.name
            assert isinstance(tier.name, str)
            assert isinstance(tier.survives_restart, bool)

        self._run(body)

    def test_what_was_put_comes_back_field_by_field(self) -> None:
        blobs = {
            b"": _blob(b""),
            b"plain": _blob(),
            b"\0\xff": _blob(bytes(range(256)) * 16),
            b"tagged": _blob(tags=(("a", 1), ("é", 2**63))),
            b"packed": _blob(b"x" * 10, codec="plain+lz4", raw_bytes=10_000),
            b"mortal": _blob(expires_ns=FakeClock(5000.0).time_ns()),
            b"k" * 2000: _blob(),
        }

        async def body(tier: Tier, clock: FakeClock) -> None:
            for key, blob in blobs.items():
                await tier.put(key, blob)
            for key, blob in blobs.items():
                assert await tier.get(key) == blob

        self._run(body)

    def test_a_key_that_was_never_put_is_a_miss(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            assert await tier.get(b"nothing") is None
            assert await tier.drop(b"nothing") is False
            await tier.put(b"a", _blob())
            assert await tier.get(b"a\0") is None

        self._run(body)

    def test_the_last_put_wins(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            for n in range(20):
                await tier.put(b"a", _blob(b"%d" % n))
            assert await tier.get(b"a") == _blob(b"19")
            assert tier.stats().entries == 1

        self._run(body)

    def test_what_was_dropped_is_gone(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            await tier.put(b"a", _blob())
            assert await tier.drop(b"a") is True
            assert await tier.get(b"a") is None
            assert await tier.drop(b"a") is False

        self._run(body)

    def test_what_has_expired_is_a_miss(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            await tier.put(b"a", _blob(expires_ns=clock.time_ns() + 10 * _SECOND_NS))
            clock.advance(9.5)
            assert await tier.get(b"a") is not None
            clock.advance(0.5)
            assert await tier.get(b"a") is None

        self._run(body)

    def test_a_sweep_drops_what_has_expired_and_counts_it(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            for n in range(4):
                expires_ns = clock.time_ns() + _SECOND_NS if n % 2 else 0
                await tier.put(b"%d" % n, _blob(expires_ns=expires_ns))
            clock.advance(2)
            assert await tier.sweep(clock.time_ns()) == 2
            assert await tier.sweep(clock.time_ns()) == 0
            assert await tier.get(b"0") is not None
            assert tier.stats().entries == 2

        self._run(body)

    def test_stats_count_and_do_no_harm(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            assert tier.stats().entries == 0
            await tier.put(b"a", _blob())
            await tier.get(b"a")
            await tier.get(b"b")
            stats = tier.stats()
            assert isinstance(stats, TierStats)
            assert (stats.entries, stats.puts, stats.hits, stats.misses) == (1, 1, 1, 1)
            assert stats.bytes_used > 0

        self._run(body)

    def test_many_tasks_at_once_see_whole_blobs(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            async def work(n: int) -> None:
                for step in range(8):
                    data = b"%d:%d;" % (n % 4, step) * 100
                    await tier.put(b"%d" % (n % 4), _blob(data))
                    found = await tier.get(b"%d" % (n % 4))
                    assert found is not None
                    assert len(set(found.payload.split(b";"))) <= 2
                    assert found.payload.startswith(b"%d:" % (n % 4))

            await asyncio.gather(*(work(n) for n in range(8)))

        self._run(body)

    def test_closing_twice_is_harmless(self) -> None:
        async def body(tier: Tier, clock: FakeClock) -> None:
            await tier.put(b"a", _blob())
            await tier.aclose()

        self._run(body)

    def test_it_serves_one_event_loop_after_another(self) -> None:
        clock = FakeClock()
        tier = self.make_tier(clock)
        asyncio.run(_put_one(tier))
        assert asyncio.run(_get_one(tier)) == _blob()
        asyncio.run(tier.aclose())

    def test_the_calls_without_a_loop_are_the_same(self) -> None:
        tier: Any = self.make_tier(FakeClock())
        try:
            if hasattr(tier, "get_nowait"):
                assert not inspect.iscoroutinefunction(tier.get_nowait)
                tier.put_nowait(b"a", _blob())
                assert tier.get_nowait(b"a") == _blob()
                assert tier.drop_nowait(b"a") is True
                assert tier.get_nowait(b"a") is None
                self._hammer(tier)
        finally:
            asyncio.run(tier.aclose())

    def _hammer(self, tier: Any) -> None:
        wrong: list[object] = []

        def work(n: int) -> None:
            for step in range(100):
                key = b"%d" % (step % 16)
                tier.put_nowait(key, _blob(key * 200))
                found = tier.get_nowait(key)
                if found is not None and found.payload != key * 200:
                    wrong.append(found)
                if step % 7 == n:
                    tier.drop_nowait(key)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_a_restart_keeps_what_it_should(self) -> None:
        async def first(tier: Tier, clock: FakeClock) -> None:
            await tier.put(b"stays", _blob(b"1", tags=(("t", 3),)))
            await tier.put(b"replaced", _blob(b"old"))
            await tier.put(b"replaced", _blob(b"new"))
            await tier.put(b"dropped", _blob())
            await tier.drop(b"dropped")
            await tier.put(b"mortal", _blob(expires_ns=clock.time_ns() + 10 * _SECOND_NS))
            await tier.put(b"expired", _blob(expires_ns=clock.time_ns() + _SECOND_NS))
            await tier.aclose()

        async def second(tier: Tier, clock: FakeClock) -> None:
            assert await tier.get(b"stays") == _blob(b"1", tags=(("t", 3),))
            assert await tier.get(b"replaced") == _blob(b"new")
            assert await tier.get(b"dropped") is None
            assert await tier.get(b"mortal") is not None
            assert await tier.get(b"expired") is None
            clock.advance(10)
            assert await tier.get(b"mortal") is None
            await tier.aclose()

        clock = FakeClock(1000.0)
        tier = self.make_tier(clock)
        if not tier.survives_restart:
            asyncio.run(tier.aclose())
            return
        asyncio.run(first(tier, clock))
        clock.advance(1)
        asyncio.run(second(self.reopen(clock), clock))


async def _put_one(tier: Tier) -> None:
    await tier.put(b"a", _blob())


async def _get_one(tier: Tier) -> Blob | None:
    return await tier.get(b"a")
