"""The Django backend, where Django is installed; its own suite is run by `run_django_suite.py`."""

import asyncio
import pickle
import threading

import pytest

pytest.importorskip("django")

from django.conf import settings

if not settings.configured:
    settings.configure(SECRET_KEY="only for tests, and long enough")

from raudo.cache import SmartCache
from raudo.integrations import django as integration


class Exploding:
    def __reduce__(self):
        return pytest.fail, ("a planted pickle was loaded",)


@pytest.fixture
def make(monkeypatch):
    shared = {}
    monkeypatch.setattr(integration, "_shared", shared)

    def make(location="tests", **params):
        return integration.SmartCacheBackend(location, params)

    yield make
    for each in shared.values():
        each.cache.close_nowait()


def test_what_was_set_comes_back_as_a_new_object(make):
    cache = make()
    value = {"a": [1, 2]}
    cache.set("k", value)
    assert cache.get("k") == value
    assert cache.get("k") is not cache.get("k")
    assert cache.get("none", "default") == "default"
    assert cache.get_or_set("n", lambda: None) is None
    assert cache.has_key("n")
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        cache.set("lambda", lambda: 1)


def test_one_cache_per_location(make):
    first, second, other = make("a"), make("a"), make("b")
    first.set("k", 1)
    assert second.get("k") == 1
    assert other.get("k") is None
    assert first.smart is second.smart
    first.clear()
    assert second.get("k") is None


def test_times_to_live(make):
    cache = make(TIMEOUT=60)
    cache.set("gone", 1, timeout=0)
    cache.set("also-gone", 1, timeout=-5)
    assert cache.get_many(["gone", "also-gone"]) == {}
    cache.set("k", 5, timeout=None)
    assert cache.incr("k", 3) == 8
    assert cache.touch("k", 100)
    assert not cache.touch("unknown")
    assert cache.touch("k", 0)
    assert "k" not in cache
    with pytest.raises(ValueError, match="not found"):
        cache.incr("k")


def test_numbers_are_counted_exactly_by_threads(make):
    cache = make()
    cache.set("n", 0)
    threads = [
        threading.Thread(target=lambda: [cache.incr("n") for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 800
    assert cache.add("n", 1) is False
    assert cache.add("m", 1) is True


def test_a_folder_is_warm_after_a_restart_and_signed(make, tmp_path):
    folder = str(tmp_path / "cache")
    cache = make(folder)
    cache.set("k", {1, 2}, timeout=None)
    integration._shared.pop(folder).cache.close_nowait()
    assert make(folder).get("k") == {1, 2}
    integration._shared.pop(folder).cache.close_nowait()
    other = make(folder, OPTIONS={"secret": "of someone else, as long"})
    assert other.get("k") is None
    assert other.smart.get_stats()["corrupt"] == 1


def test_a_folder_among_the_options_is_signed_too(make, tmp_path):
    make("named", OPTIONS={"path": tmp_path, "MAX_ENTRIES": 4}).set("k", {"a": 1})
    integration._shared.pop("named").cache.close_nowait()
    # Whoever else writes there has no key: what they plant is a miss, and is never unpickled.
    with SmartCache(4, path=tmp_path) as other:
        other.set_nowait(":1:k", (None, pickle.dumps(Exploding())))
    assert make("named", OPTIONS={"path": tmp_path, "MAX_ENTRIES": 4}).get("k") is None


def test_options_are_those_of_smart_cache(make):
    cache = make(OPTIONS={"MAX_ENTRIES": 50, "strategy": "lru", "levels": (1, 0, 0)})
    for n in range(60):
        cache.set(n, n)
    assert len(cache.smart) == cache.smart.max_size == 50
    with pytest.raises(TypeError):
        make("wrong", OPTIONS={"no_such_option": 1})


def test_awaited_calls(make):
    cache = make()

    async def use():
        await cache.aset("k", [1])
        assert await cache.aget("k") == [1]
        assert await cache.aget("x", 5) == 5
        assert await cache.adelete("k")
        assert not await cache.adelete("k")

    asyncio.run(use())
