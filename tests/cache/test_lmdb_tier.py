"""The tier that processes share keeps the tier contract, and what is written is whole for all."""

import os
import stat
import subprocess
import sys
import textwrap

import pytest

from raudo.cache import SmartCache
from raudo.cache.tiers import LmdbTier, make_tier
from raudo.errors import Closed, TierUnavailable
from raudo.testing.tier import TierContract
from raudo.types import Blob

lmdb = pytest.importorskip("lmdb")


def blob(data=b"payload", **changes):
    return Blob(data, **{"codec": "bytes", "raw_bytes": len(data), **changes})


class TestLmdb(TierContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "tier"

    def make_tier(self, clock):
        return LmdbTier(self.folder, max_bytes=1 << 22, clock=clock)

    reopen = make_tier


@pytest.fixture
def tier(tmp_path):
    made = LmdbTier(tmp_path / "tier", max_bytes=1 << 21)
    yield made
    made.close()


def test_it_is_made_by_name(tmp_path):
    made = make_tier("lmdb", tmp_path / "t", max_bytes=1 << 20)
    assert isinstance(made, LmdbTier)
    made.close()


def test_the_folder_is_private(tier, tmp_path):
    assert stat.S_IMODE(tier.path.stat().st_mode) == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(TierUnavailable, match="written by other users"):
        LmdbTier(tmp_path / "open")


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="max_bytes"):
        LmdbTier(tmp_path / "t", max_bytes=5)


def test_use_after_close_says_so(tier):
    tier.close()
    tier.close()
    with pytest.raises(Closed):
        tier.get_nowait(b"a")
    assert tier.stats().entries == len(tier) == 0


def test_the_oldest_go_when_it_fills_up(tier):
    for n in range(3000):
        tier.put_nowait(b"%d" % n, blob(bytes(1500)))
    stats = tier.stats()
    assert stats.bytes_used <= tier.max_bytes * 0.75
    assert stats.evictions == 3000 - stats.entries > 0
    assert tier.get_nowait(b"0") is None
    assert tier.get_nowait(b"2999") == blob(bytes(1500))
    assert (tier.path / "data.mdb").stat().st_size <= tier.max_bytes


def test_what_is_too_large_is_refused_and_replaces_nothing(tier):
    tier.put_nowait(b"other", blob())
    tier.put_nowait(b"a", blob())
    tier.put_nowait(b"a", blob(bytes(1 << 20)))
    assert tier.get_nowait(b"a") is None
    assert tier.get_nowait(b"other") == blob()


def test_a_record_under_another_key_is_not_believed(tier):
    tier.put_nowait(b"a", blob(b"1"))
    tier.put_nowait(b"b", blob(b"2"))
    with tier._env.begin(write=True) as transaction:
        stored = transaction.get(b"ka", db=tier._entries)
        transaction.put(b"kb", stored, db=tier._entries)
        transaction.put(b"kc", stored[:40], db=tier._entries)
        transaction.put(b"kd", b"short", db=tier._entries)
    assert tier.get_nowait(b"b") is None
    assert tier.get_nowait(b"c") is None
    assert tier.get_nowait(b"d") is None
    assert tier.sweep_nowait(1) == 0
    assert tier.get_nowait(b"a") == blob(b"1")
    assert tier.stats().corrupt == 3


def test_a_forked_child_opens_a_tier_of_its_own(tier):
    tier.put_nowait(b"a", blob())
    pid = os.fork()
    if not pid:
        try:
            tier.get_nowait(b"a")
        except TierUnavailable:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tier.get_nowait(b"a") == blob()


WORKER = """
    import sys
    from raudo.cache.tiers import LmdbTier
    from raudo.types import Blob
    path, number = sys.argv[1], int(sys.argv[2])
    tier = LmdbTier(path, max_bytes=1 << 23)
    print("ready", flush=True)
    sys.stdin.readline()
    for step in range(400):
        key = b"%d" % (step % 50)
        data = b"%d:%d;" % (number, step) * 60
        tier.put_nowait(key, Blob(data, "bytes", len(data)))
        found = tier.get_nowait(b"%d" % ((step * 7) % 50))
        if found is not None:
            assert len(set(found.payload.split(b";"))) == 2, found
        if step % 10 == number:
            tier.drop_nowait(key)
    assert tier.stats().corrupt == tier.stats().errors == 0
    tier.put_nowait(b"last of %d" % number, Blob(b"x", "bytes", 1))
    print("done", flush=True)
"""


def test_four_processes_write_and_read_whole_records(tmp_path):
    path = tmp_path / "t"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), path, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:  # all at once
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            assert worker.communicate(timeout=60)[0] == "done\n"
            assert worker.returncode == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    tier = LmdbTier(path, max_bytes=1 << 23)
    assert all(tier.get_nowait(b"last of %d" % n) for n in range(4))
    assert len(tier) <= 54
    with tier._env.begin() as transaction:
        assert transaction.stat(tier._order)["entries"] == len(tier)
    tier.close()


async def test_a_smart_cache_finds_what_another_left(tmp_path):
    settings = {"max_size": 4, "strategy": "lru", "levels": (1, 0, 1)}
    async with SmartCache(tiers=[LmdbTier(tmp_path / "t", max_bytes=1 << 20)], **settings) as one:
        for n in range(10):
            await one.set(n, [n])
        assert await one.get(0) == [0]
    async with SmartCache(tiers=[LmdbTier(tmp_path / "t", max_bytes=1 << 20)], **settings) as two:
        assert await two.get(1) == [1]
