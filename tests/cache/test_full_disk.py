"""A disk that is full: the cache goes on without that level, and says so."""

import errno
import os
import subprocess
import sys
import textwrap

from raudo import events
from raudo.cache import SmartCache
from raudo.testing import FakeClock


def test_a_full_disk_is_announced_rested_and_tried_again(tmp_path, monkeypatch):
    told = []
    unsubscribe = events.subscribe(events.TierFailed, told.append)
    clock = FakeClock(1000.0)
    calls = []

    def full(*args):
        calls.append(args)
        raise OSError(errno.ENOSPC, "No space left on device")

    with SmartCache(
        100, "lru", levels=(0.02, 0, 0.98), path=tmp_path / "c", clock=clock, name="pages"
    ) as cache:
        cache.set_nowait("before", "there")
        for n in range(2):
            cache.set_nowait(n, [n])
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", full)
            for n in range(2, 40):
                cache.set_nowait(n, [n])
                assert cache.get_nowait(n) == [n]
            assert cache.get_nowait("before") == "there"  # a full disk can still be read
        assert len(calls) == 1  # the level rests
        assert {(event.cache, event.tier, event.operation) for event in told} == {
            ("pages", "disk", "put")
        }
        assert told[0].error.errno == errno.ENOSPC
        stats = cache.get_stats()
        assert stats["tier_failures"] >= 1
        out = ("evictions", "expirations", "deletions", "replaced")
        assert stats["sets"] == stats["size"] + sum(stats[name] for name in out)
        clock.advance(2)
        for n in range(10):
            cache.set_nowait(n, [n])
        assert cache.get_nowait(0) == [0]
        assert cache.get_stats()["l3_size"] > 0
    unsubscribe()


def test_a_file_size_limit_is_survived_by_the_whole_cache(tmp_path):
    """The same from the system itself: every file may take 20,000 bytes and no more."""
    code = f"""
        import resource
        from raudo import events
        from raudo.cache import SmartCache
        told = []
        events.subscribe(events.TierFailed, told.append)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        path = {str(tmp_path / "c")!r}
        with SmartCache(200, "lru", levels=(0.05, 0, 0.95), path=path) as cache:
            for n in range(100):
                cache.set_nowait(n, b"%d," % n * 300)
            right = sum(cache.get_nowait(n) == b"%d," % n * 300 for n in range(100))
            wrong = [n for n in range(100) if cache.get_nowait(n) not in (None, b"%d," % n * 300)]
            assert right and not wrong
        assert told and told[0].tier == "disk"
        with SmartCache(200, "lru", levels=(0.05, 0, 0.95), path=path) as cache:
            assert cache.get_stats()["corrupt"] == 0
            assert len(cache) > 0
        print("well")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "well", done.stderr
