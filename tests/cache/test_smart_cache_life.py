"""SmartCache: its arguments, its end, and the threads, loops and forks of its life."""

import asyncio
import gc
import pickle
import random
import subprocess
import sys
import tempfile
import textwrap
import threading
import weakref

import pytest

from cache.smart_caches import accounts_balance
from raudo.cache import SmartCache
from raudo.errors import Closed

# --- the end ----------------------------------------------------------------------------------


async def test_closing_twice_is_harmless_and_use_after_it_is_refused():
    cache = SmartCache(3)
    await cache.set("a", 1)
    await cache.close()
    await cache.close()
    cache.close_nowait()
    for call in (
        lambda: cache.get("a"),
        lambda: cache.get_nowait("a"),
        lambda: cache.set("a", 1),
        lambda: cache.delete("a"),
        lambda: cache.clear(),
        lambda: cache.flush(),
        lambda: cache.touch("a", 1),
        lambda: cache.contains("a"),
        lambda: cache.invalidate_tag("a"),
        lambda: cache.get_or_load("a", str),
        lambda: cache.__aenter__(),
    ):
        with pytest.raises(Closed):
            found = call()
            await found
    assert "closed" in repr(cache)


def test_a_cache_that_nobody_closes_leaves_nothing():
    cache = SmartCache(3, levels=(0, 0, 1))
    cache.set_nowait(1, 1)
    path = cache._levels.cold.guards[0].tier.path
    assert path.exists()
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    assert not path.exists()


def test_the_temporary_folder_is_made_when_it_is_needed():
    with SmartCache(1000) as cache:
        cache.set_nowait(1, 1)
        assert cache._levels.cold.guards == []


def test_it_cannot_be_pickled_and_says_why(lru):
    with pytest.raises(TypeError, match="Make one in each process"):
        pickle.dumps(lru)


def test_one_loop_after_another(tmp_path):
    cache = SmartCache(3, levels=(0, 0, 1), path=tmp_path / "c")

    async def step(n):
        await cache.set(n, n)
        assert await cache.get(n) == n
        return await cache.get_or_load(("load", n % 2), lambda key: key)

    for n in range(4):
        assert asyncio.run(step(n)) == ("load", n % 2)
    asyncio.run(cache.close())


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"max_size": 0}, ValueError),
        ({"max_size": "9"}, TypeError),
        ({"max_size": True}, TypeError),
        ({"default_ttl": 0}, ValueError),
        ({"default_ttl": "x"}, TypeError),
        ({"levels": (1, 2)}, ValueError),
        ({"levels": "abc"}, TypeError),
        ({"max_disk_bytes": 100}, ValueError),
        ({"on_evict": 5}, TypeError),
        ({"compression": None}, TypeError),
        ({"serializer": None}, TypeError),
        ({"tiers": 5}, TypeError),
        ({"levels": (0, 0, 0)}, ValueError),
        ({"levels": (-1, 1, 1)}, ValueError),
        ({"max_bytes": 0}, ValueError),
        ({"compression": "brotli"}, ValueError),
        ({"serializer": "yaml"}, ValueError),
        ({"strategy": "best"}, ValueError),
        ({"tiers": [object()]}, TypeError),
        ({"prefetch": True}, ValueError),
        ({"loader": 5}, TypeError),
        ({"secret": "short"}, ValueError),
        ({"allow": ["x"]}, TypeError),
    ],
    ids=str,
)
def test_bad_arguments_are_named(bad, kind):
    with pytest.raises(kind, match=next(iter(bad))):
        SmartCache(**bad)


def test_path_and_a_third_level_that_is_off_contradict(tmp_path):
    with pytest.raises(ValueError, match="path"):
        SmartCache(9, levels=(1, 1, 0), path=tmp_path / "c")
    assert not (tmp_path / "c").exists()


# --- forks and threads ------------------------------------------------------------------------


def test_a_forked_child_goes_on_without_the_disk(tmp_path):
    code = f"""
        import os
        from raudo.cache import SmartCache
        cache = SmartCache(9, "lru", levels=(1, 1, 1), path={str(tmp_path / "c")!r})
        for n in range(9):
            cache.set_nowait(n, n)
        pid = os.fork()
        if not pid:
            found = [cache.get_nowait(n) for n in range(9)]
            assert found[:3] == [None] * 3 and found[3:] == list(range(3, 9)), found
            for n in range(20, 29):
                cache.set_nowait(n, -n)
            cache.close_nowait()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [cache.get_nowait(n) for n in range(9)] == list(range(9))
        cache.close_nowait()
        with SmartCache(9, path={str(tmp_path / "c")!r}) as cache:
            assert [cache.get_nowait(n) for n in range(9)] == list(range(9))
            assert cache.get_stats()["corrupt"] == 0
        print("well")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "well", done.stderr


@pytest.mark.parametrize("strategy", ["lru", "adaptive"])
def test_many_threads_see_whole_and_newest_values(strategy, tmp_path):
    wrong = []
    with SmartCache(24, strategy, levels=(1, 1, 1), path=tmp_path / "c") as cache:

        def work(mine):
            for n in range(250):
                key = (mine, n % 8)
                cache.set_nowait(key, (key, n))
                found = cache.get_nowait(key)
                if found is not None and found != (key, n):
                    wrong.append((key, n, found))
                other = cache.get_nowait(((mine + 1) % 4, n % 8))
                if other is not None and other[0] != ((mine + 1) % 4, n % 8):
                    wrong.append(other)
                if n % 11 == 0:
                    cache.delete_nowait(key)
                    if cache.get_nowait(key) is not None:
                        wrong.append(key)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(cache) <= 24
        assert accounts_balance(cache)


async def test_threads_beside_a_loop(tmp_path):
    async with SmartCache(12, "lru", levels=(1, 1, 1), path=tmp_path / "c") as cache:

        def work():
            for n in range(200):
                cache.set_nowait(n % 12, n % 12)
                assert cache.get_nowait(n % 12) in (None, n % 12)

        async def beside():
            for n in range(200):
                assert await cache.get(n % 12) in (None, n % 12)
                await cache.set(n % 12, n % 12)
                await asyncio.sleep(0)

        await asyncio.gather(asyncio.to_thread(work), beside(), beside())
        assert accounts_balance(cache)


# --- what the garbage collector runs ----------------------------------------------------------


@pytest.fixture
def collector(monkeypatch):
    """Calls `collector.action` wherever the collector runs, which is all but everywhere."""

    class Collector:
        action = None

        def __call__(self, phase, info):
            action, self.action = self.action, None
            if action is not None and phase == "stop":
                action()
            self.action = action

    hook, thresholds = Collector(), gc.get_threshold()
    gc.callbacks.append(hook)
    gc.set_threshold(2, 1, 1)
    yield hook
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(hook)


@pytest.mark.timeout(30, method="thread")
def test_a_finalizer_may_use_the_cache_in_the_middle_of_its_work(collector):
    rng = random.Random(3)

    def use():
        key, what = rng.randrange(60), rng.random()
        if what < 0.4:
            assert cache.get_nowait(key, {"key": key})["key"] == key
        elif what < 0.7:
            cache.set_nowait(key, {"key": key, "items": [key]}, tags=["odd"] if key % 2 else ())
        elif what < 0.9:
            cache.delete_nowait(key)
        else:
            cache._levels.tags.invalidate("odd")

    with SmartCache(40, levels=(0.2, 0.4, 0.4)) as cache:
        collector.action = use
        for _ in range(1500):
            use()
        collector.action = None
        assert len(cache) <= 40


@pytest.mark.timeout(30, method="thread")
def test_a_finalizer_in_the_middle_of_making_the_disk_level_makes_no_second(monkeypatch):
    made = []
    make = tempfile.mkdtemp

    def make_and_use(**options):
        made.append(options)
        for key in range(100, 140):  # as a finalizer would that the collector calls here
            cache.set_nowait(key, str(key))
        return make(**options)

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_use)
    with SmartCache(40, levels=(0.2, 0.4, 0.4)) as cache:
        for key in range(40):
            cache.set_nowait(key, str(key))
        assert len(made) == 1
        assert cache.get_nowait(39) == "39"


@pytest.mark.timeout(30, method="thread")
def test_keys_that_look_into_the_cache_while_they_are_compared_do_not_stop_prefetch():
    class Key:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return 1

        def __eq__(self, other):
            cache.get_nowait(-1)
            return isinstance(other, Key) and self.n == other.n

    with SmartCache(20, loader=str, prefetch=True) as cache:
        for n in range(8):
            assert cache.get_nowait(Key(n)) is None
