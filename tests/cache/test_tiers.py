"""The built-in levels keep the tier contract, and their folders to themselves."""

import os
import stat
from importlib.metadata import EntryPoint

import pytest

from cache.disk_helpers import blob, run
from raudo.cache.tiers import CompressedTier, DiskTier, ScratchTier, make_tier
from raudo.errors import Closed, TierUnavailable
from raudo.testing.tier import TierContract


class TestCompressed(TierContract):
    def make_tier(self, clock):
        return CompressedTier(64, clock=clock)


class TestScratch(TierContract):
    def make_tier(self, clock):
        return ScratchTier(clock=clock)


class TestDisk(TierContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "tier"

    def make_tier(self, clock):
        return DiskTier(self.folder, clock=clock)

    reopen = make_tier


class TestDiskThatSyncs(TestDisk):
    def make_tier(self, clock):
        return DiskTier(self.folder, clock=clock, fsync="always")

    reopen = make_tier


# --- by name ----------------------------------------------------------------------------------


def test_tiers_are_made_by_name(monkeypatch):
    assert isinstance(make_tier("compressed", 5), CompressedTier)
    plug_in = EntryPoint("mine", "raudo.cache.tiers:CompressedTier", "raudo.tiers")
    monkeypatch.setattr("raudo.cache.tiers.entry_points", lambda group: [plug_in])
    assert len(make_tier("mine", max_entries=5)) == 0
    with pytest.raises(ValueError, match="compressed, disk, lmdb, mine, scratch"):
        make_tier("other")


# --- compressed -------------------------------------------------------------------------------


def test_compressed_pushes_out_what_was_used_longest_ago():
    gone = []
    tier = CompressedTier(2, on_evict=lambda *args: gone.append(args))
    tier.put_nowait(b"a", blob())
    tier.put_nowait(b"b", blob())
    tier.get_nowait(b"a")
    tier.put_nowait(b"c", blob())
    assert gone == [(b"b", blob(), "capacity")]
    assert tier.stats().evictions == 1


def test_compressed_keeps_its_byte_bound():
    gone = []
    tier = CompressedTier(100, max_bytes=3000, on_evict=lambda *args: gone.append(args[0]))
    for n in range(20):
        tier.put_nowait(b"%d" % n, blob(bytes(500)))
        assert tier.stats().bytes_used <= 3000
    kept = len(tier)
    tier.put_nowait(b"huge", blob(bytes(5000)))
    assert gone[-1] == b"huge"
    assert len(tier) == kept > 0


# --- the folder -------------------------------------------------------------------------------


def test_the_folder_is_private(tier):
    assert stat.S_IMODE(tier.path.stat().st_mode) == 0o700
    tier.put_nowait(b"a", blob())
    for path in tier.path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_owner_is_refused_until_the_first_closes(tier):
    with pytest.raises(TierUnavailable, match=f"in use by another cache.*{os.getpid()}"):
        DiskTier(tier.path)
    tier.close()
    DiskTier(tier.path).close()


def test_a_second_process_is_refused(tier):
    code = f"""
        from raudo.cache.tiers import DiskTier
        from raudo.errors import TierUnavailable
        try:
            DiskTier({str(tier.path)!r})
        except TierUnavailable as error:
            print("refused", error)
    """
    assert "refused" in run(code)


def test_a_folder_with_other_files_is_not_taken_over(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(TierUnavailable, match="folder of its own"):
        DiskTier(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(TierUnavailable, match="not a folder"):
        DiskTier(tmp_path / "f")


@pytest.mark.parametrize(
    "bad", [{"max_bytes": 1}, {"max_entries": 0}, {"fsync": "sometimes"}], ids=str
)
def test_bad_arguments_are_named(tmp_path, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DiskTier(tmp_path / "t", **bad)


def test_use_after_close_says_so(tier):
    tier.close()
    with pytest.raises(Closed):
        tier.get_nowait(b"a")


def test_a_scratch_folder_goes_with_its_tier():
    tier = ScratchTier()
    tier.put_nowait(b"a", blob())
    path = tier.path
    assert path.exists()
    tier.close()
    assert not path.exists()
    forgotten = ScratchTier()
    path = forgotten.path
    del forgotten
    assert not path.exists()


def test_a_forked_child_neither_reads_writes_nor_removes(tmp_path):
    out = run(f"""
        import os, tempfile
        from raudo.cache.tiers import DiskTier, ScratchTier
        from raudo.errors import TierUnavailable
        from raudo.types import Blob
        kept, scratch = DiskTier({str(tmp_path / "t")!r}), ScratchTier()
        blob = Blob(b"x", "bytes", 1)
        kept.put_nowait(b"a", blob); scratch.put_nowait(b"a", blob)
        pid = os.fork()
        if not pid:
            for call in (lambda: kept.get_nowait(b"a"), lambda: scratch.put_nowait(b"b", blob)):
                try:
                    call()
                    os._exit(1)
                except TierUnavailable:
                    pass
            scratch.close(); kept.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert kept.get_nowait(b"a") == scratch.get_nowait(b"a") == blob
        kept.put_nowait(b"b", blob)
        kept.close()
        kept = DiskTier({str(tmp_path / "t")!r})
        assert sorted(kept.live_keys()) == [b"a", b"b"]
        kept.close(); scratch.close()
        print("well")
    """)
    assert out.strip() == "well"
