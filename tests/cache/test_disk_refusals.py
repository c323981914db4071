"""A disk that is full, fails, or would make the caller wait."""

import asyncio
import errno
import os

import pytest

from cache.disk_helpers import blob, run
from raudo.cache.tiers import DiskTier
from raudo.testing import FakeClock


def refuse(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_raises_and_leaves_a_sound_tier(tier, monkeypatch):
    tier.put_nowait(b"a", blob(b"old"))
    tier.put_nowait(b"b", blob())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", refuse)
        with pytest.raises(OSError, match="No space"):
            tier.put_nowait(b"a", blob(b"new"))
        assert tier.get_nowait(b"a") is None
        assert tier.get_nowait(b"b") == blob()
        assert tier.drop_nowait(b"b") is True
    assert tier.stats().errors == 1
    tier.put_nowait(b"c", blob())
    tier.close()
    again = DiskTier(tier.path)
    assert again.live_keys() == [b"c"]
    assert again.stats().corrupt == 0
    again.close()


def test_a_write_that_ends_short_leaves_nothing(tier, monkeypatch):
    tier.put_nowait(b"a", blob())
    write = os.pwritev
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda fd, parts, at: write(fd, [b"".join(parts)[:50]], at))
        patch.setattr(os, "pwrite", refuse)
        with pytest.raises(OSError, match="No space"):
            tier.put_nowait(b"b", blob())
    tier.put_nowait(b"c", blob())
    tier.close()
    again = DiskTier(tier.path)
    assert again.live_keys() == [b"a", b"c"]
    assert again.stats().corrupt == 0
    again.close()


def test_a_record_that_cannot_be_marked_takes_its_segment_along(tier, monkeypatch):
    tier.put_nowait(b"a", blob(b"old"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        assert tier.drop_nowait(b"a") is True
    assert tier.stats().errors == 1
    tier.close()
    again = DiskTier(tier.path)
    assert again.live_keys() == []
    again.close()


def test_a_read_error_is_raised_and_counted(tier, monkeypatch):
    tier.put_nowait(b"a", blob())
    tier.close()
    tier = DiskTier(tier.path)

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        patch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match="Input/output"):
            tier.get_nowait(b"a")
    assert tier.get_nowait(b"a") == blob()
    assert tier.stats().errors == 1
    tier.close()


def test_a_file_size_limit_is_survived(tmp_path):
    out = run(f"""
        import resource
        from raudo.cache.tiers import DiskTier
        from raudo.types import Blob
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        tier = DiskTier({str(tmp_path / "t")!r}, max_bytes=1 << 24)
        blob = Blob(bytes(1500), "bytes", 1500)
        failed = 0
        for n in range(40):
            try:
                tier.put_nowait(b"%d" % n, blob)
            except OSError:
                failed += 1
        stored = tier.live_keys()
        assert all(tier.get_nowait(key) == blob for key in stored)
        assert failed and stored, (failed, stored)
        tier.close()
        again = DiskTier({str(tmp_path / "t")!r}, max_bytes=1 << 24)
        assert again.live_keys() == stored and again.stats().corrupt == 0
        again.close()
        print("well")
    """)
    assert out.strip() == "well"


def test_reads_that_would_wait_say_so(tier, monkeypatch):
    tier.put_nowait(b"found", blob(bytes(9000)))
    tier.close()
    tier = DiskTier(tier.path)
    tier.put_nowait(b"appended", blob(bytes(9000)))

    def would_block(*args):
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", would_block)
    with pytest.raises(BlockingIOError):
        tier.read_ready(b"found")
    assert asyncio.run(tier.get(b"found")) == blob(bytes(9000))
    assert tier.read_ready(b"appended") == blob(bytes(9000))  # what we wrote is in memory
    tier.close()


def test_the_sync_interval_is_kept(tmp_path, monkeypatch):
    clock, calls = FakeClock(), []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), sync(fd)))
    tier = DiskTier(tmp_path / "t", fsync="interval", clock=clock)
    for _ in range(5):
        tier.put_nowait(b"a", blob())
    assert not calls
    clock.advance(1.0)
    tier.put_nowait(b"a", blob())
    assert len(calls) == 1
    tier.put_nowait(b"a", blob())
    tier.close()
    assert len(calls) == 2
