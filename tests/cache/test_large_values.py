"""Large values in L2: made by a thread where that takes long, and never out of date."""

import os

import pytest

from cache.smart_caches import accounts_balance, where
from raudo.cache import SmartCache
from raudo.testing import FakeClock


def l2_of(value, **arguments):
    """A cache with `value` under "large" in L2."""
    cache = SmartCache(10, "lru", levels=(0.2, 0.8, 0), **arguments)
    cache.set_nowait("large", value)
    cache.set_nowait("a", 1)
    cache.set_nowait("b", 2)
    cache._levels.down.carry_all()
    assert where(cache, "large") == [2]
    return cache


@pytest.mark.parametrize(
    "value", [os.urandom(1 << 20), bytes(200_000), "x" * 200_000, "\N{SNOWMAN}" * 50_000]
)
async def test_large_bytes_and_text_are_found_without_a_thread(value):
    async with l2_of(value) as cache:
        with pytest.raises(StopIteration) as stop:
            cache.get("large").send(None)
        assert stop.value.value == value
        assert where(cache, "large") == [1]
        assert accounts_balance(cache)


def make_large(name):
    return [f"{name} {n}" for n in range(9000)]


def between(cache, monkeypatch, act):
    """Do something while a thread makes the value of "large", which it has read."""
    codec = cache._levels.codec
    decode = codec.decode

    def slow(blob, **options):
        monkeypatch.undo()
        value = decode(blob, **options)
        act()
        return value

    monkeypatch.setattr(codec, "decode", slow)


async def test_a_value_that_is_replaced_while_a_thread_makes_it_again_does_not_come_back(
    monkeypatch,
):
    async with l2_of(make_large("old")) as cache:

        def replace():
            cache.delete_nowait("a")
            cache.delete_nowait("b")
            assert cache.get_nowait("large")[0] == "old 0"  # comes up: nothing is below L1
            cache.set_nowait("large", make_large("new"))
            cache.set_nowait("a", 1)
            cache.set_nowait("b", 2)
            cache._levels.down.carry_all()
            assert where(cache, "large") == [2]

        between(cache, monkeypatch, replace)
        assert (await cache.get("large"))[0] == "new 0"
        assert cache.get_nowait("large")[0] == "new 0"
        assert accounts_balance(cache)


async def test_a_touch_while_a_thread_makes_the_value_again_is_not_lost(monkeypatch):
    clock = FakeClock(100.0)
    async with l2_of(make_large("a"), default_ttl=100, clock=clock) as cache:
        between(cache, monkeypatch, lambda: cache._levels.touch("large", 5))
        assert (await cache.get("large"))[0] == "a 0"
        clock.advance(6)
        assert await cache.get("large") is None
        assert accounts_balance(cache)
