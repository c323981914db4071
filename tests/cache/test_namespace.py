"""Namespaces, and tags on loads."""

import asyncio

import pytest

from raudo.cache import SmartCache


@pytest.mark.parametrize("levels", [(1, 0, 0), (1, 1, 1)])
async def test_a_namespace_has_keys_of_its_own(levels):
    async with SmartCache(60, levels=levels) as cache:
        users, pages = cache.namespace("users"), cache.namespace("pages")
        for n in range(10):
            await users.set(n, f"user {n}")
            pages.set_nowait(n, f"page {n}")
        await cache.set(3, "plain")
        assert await users.get(3) == "user 3"
        assert pages.get_nowait(3) == "page 3"
        assert await cache.get(3) == "plain"
        assert await users.contains(4)
        assert await users.delete(4)
        assert not users.delete_nowait(4)
        await users.clear()
        assert [await users.get(n) for n in range(10)] == [None] * 10
        assert pages.get_nowait(3) == "page 3"
        await users.set(3, "new")
        assert await cache.namespace("users").get(3) == "new"
        pages.clear_nowait()
        assert pages.get_nowait(3, "gone") == "gone"
        assert "users" in repr(users)


async def test_a_namespace_loads_by_the_bare_key():
    async with SmartCache(60) as cache:
        users = cache.namespace("users")
        assert await users.get_or_load(7, lambda key: key + 1, 60, stale=5) == 8
        assert await users.get_or_load(7, lambda key: 1 / 0) == 8


def test_a_cleared_namespace_stays_cleared_after_a_restart(tmp_path):
    with SmartCache(60, path=tmp_path) as cache:
        old, kept = cache.namespace("old"), cache.namespace("kept")
        old.set_nowait("a", 1)
        kept.set_nowait("a", 2)
        old.clear_nowait()
        old.set_nowait("b", 3)
    with SmartCache(60, path=tmp_path) as cache:
        old, kept = cache.namespace("old"), cache.namespace("kept")
        assert (old.get_nowait("a"), old.get_nowait("b"), kept.get_nowait("a")) == (None, 3, 2)


def test_a_name_is_a_string():
    with SmartCache(9) as cache, pytest.raises(TypeError, match="name"):
        cache.namespace(5)


async def test_a_tag_invalidated_during_a_load_makes_its_value_invalid():
    go, calls = asyncio.Event(), []

    async def load(key):
        calls.append(key)
        await go.wait()
        return len(calls)

    async with SmartCache(9) as cache:
        task = asyncio.ensure_future(cache.get_or_load("k", load, tags=["t"]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cache.invalidate_tag("t")
        go.set()
        assert await task == 1
        assert await cache.get("k") is None
        assert await cache.get_or_load("k", load, tags=["t"]) == 2
        assert await cache.get_or_load("k", load) == 2
        await cache.invalidate_tag("t")
        assert await cache.get_or_load("k", load) == 3
