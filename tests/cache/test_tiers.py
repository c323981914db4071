"""The built-in levels keep the tier contract, and their own bounds."""

import asyncio
import errno
import os
import random
import stat
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raudo.cache.tiers import CompressedTier, DiskTier, ScratchTier, make_tier
from raudo.errors import Closed, TierUnavailable
from raudo.testing import FakeClock
from raudo.testing.tier import TierContract
from raudo.types import Blob


def blob(data=b"payload", **changes):
    return Blob(data, **{"codec": "bytes", "raw_bytes": len(data), **changes})


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


@pytest.fixture
def tier(tmp_path):
    made = DiskTier(tmp_path / "tier")
    yield made
    made.close()


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


def run(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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


# --- bounds -----------------------------------------------------------------------------------


def size_on_disk(tier):
    return sum(path.stat().st_size for path in tier.path.glob("*.seg"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "get", "drop", "lend", "keep", "reopen"]),
            st.integers(0, 12),
            st.integers(0, 2500),
        ),
        max_size=80,
    ),
    st.sampled_from([4096, 8192, 20_000]),
    st.sampled_from([None, 5]),
)
def test_disk_behaves_as_a_dict_that_may_forget(tmp_path_factory, steps, max_bytes, max_entries):
    folder = tmp_path_factory.mktemp("tier") / "t"
    live, kept, lost = {}, {}, []

    def open_tier():
        def note(key, gone, reason):
            assert reason == "capacity"
            lost.append(key)

        return DiskTier(folder, max_bytes=max_bytes, max_entries=max_entries, on_evict=note)

    tier = open_tier()
    for n, (what, k, size) in enumerate(steps):
        key, value = b"%d" % k, blob(bytes([n % 251]) * size)
        if what == "put":
            tier.put_nowait(key, value)
            live[key] = value
            kept.pop(key, None)
        elif what == "keep":
            tier.keep(key, value)
            kept[key] = value
            live.pop(key, None)
        elif what == "get":
            assert tier.get_nowait(key) in (None, live.get(key))
        elif what == "drop":
            tier.drop_nowait(key)
            live.pop(key, None)
            kept.pop(key, None)
        elif what == "lend":
            if tier.lend(key):
                kept[key] = live.pop(key)
        else:
            before = set(tier.live_keys())
            tier.close()
            tier = open_tier()
            assert before - set(tier.live_keys()) <= set(lost)
            live.update(kept)
            kept.clear()
        assert size_on_disk(tier) <= max_bytes
        assert tier.stats().bytes_used == size_on_disk(tier)
        assert max_entries is None or len(tier) <= max_entries
    for key in tier.live_keys():
        assert tier.get_nowait(key) == live[key]
    tier.close()


def test_every_entry_is_accounted_for(tmp_path):
    lost = []
    tier = DiskTier(
        tmp_path / "t", max_bytes=40_000, on_evict=lambda k, b, reason: lost.append(reason)
    )
    chance = random.Random(1)
    drops = replaced = 0
    for _ in range(3000):
        key = b"%d" % chance.randrange(200)
        if chance.random() < 0.2:
            drops += tier.drop_nowait(key)
        else:
            replaced += tier.contains(key)
            tier.put_nowait(key, blob(bytes(chance.randrange(600))))
    stats = tier.stats()
    assert stats.puts == len(tier) + stats.evictions + drops + replaced
    assert stats.evictions == len(lost)
    tier.close()


def test_the_oldest_go_first(tmp_path):
    tier = DiskTier(tmp_path / "t", max_entries=10)
    for n in range(100):
        tier.put_nowait(b"%d" % n, blob(bytes(300)))
    assert tier.live_keys() == [b"%d" % n for n in range(90, 100)]
    tier.close()


def test_an_older_record_of_the_same_key_pushes_nothing_out(tmp_path):
    tier = DiskTier(tmp_path / "t", max_entries=2)
    for key in (b"a", b"a", b"b", b"c", b"a"):
        tier.put_nowait(key, blob())
    assert tier.live_keys() == [b"c", b"a"]
    tier.close()


def test_what_comes_back_from_above_is_the_newest(tmp_path):
    tier = DiskTier(tmp_path / "t", max_entries=3)
    for key in (b"a", b"b", b"c"):
        tier.put_nowait(key, blob())
    for _ in range(1000):
        assert tier.lend(b"a")
        assert tier.adopt(b"a")
    segment = tier._log.segment_of(tier._log.index[b"a"])
    assert len(segment.order) < 100  # however often it went up and down
    for key, left in ((b"d", [b"c", b"a", b"d"]), (b"e", [b"a", b"d", b"e"])):
        tier.put_nowait(key, blob())
        assert tier.live_keys() == left
    tier.lend(b"d")
    tier.put_nowait(b"f", blob())
    tier.adopt(b"d")
    assert tier.live_keys() == [b"e", b"f", b"d"]
    tier.close()


def test_what_was_staged_becomes_an_entry_at_once(tmp_path):
    tier = DiskTier(tmp_path / "t", max_entries=3)
    for n in range(3):
        tier.stage(b"%d" % n, blob(b"%d" % n))
        assert len(tier) == 0
        assert tier.get_nowait(b"%d" % n) is None
    for n in range(3, 9):
        tier.put_nowait(b"%d" % n, blob())  # pushing out goes past what is staged
    assert all(tier.adopt(b"%d" % n) for n in range(3))
    assert not tier.adopt(b"0")
    assert len(tier) == 3
    for n in range(9, 14):
        tier.put_nowait(b"%d" % n, blob())
    assert len(tier) == 3
    tier.close()


def test_a_file_with_the_last_number_is_no_end(tmp_path):
    (tmp_path / "t").mkdir(mode=0o700)
    (tmp_path / "t" / "lock").touch()
    (tmp_path / "t" / "999999999999.seg").write_bytes(b"not ours")
    for n in range(3):
        tier = DiskTier(tmp_path / "t")
        tier.put_nowait(b"%d" % n, blob(b"%d" % n))
        assert tier.live_keys() == [b"%d" % each for each in range(n + 1)]
        tier.close()


def test_dead_records_do_not_pile_up(tmp_path):
    tier = DiskTier(tmp_path / "t", max_bytes=1 << 20)
    for n in range(20):
        tier.put_nowait(b"still %d" % n, blob(bytes(100)))
    for n in range(20_000):
        tier.put_nowait(b"%d" % (n % 5), blob(bytes(1000)))
    assert tier.stats().bytes_used < 300_000
    assert all(tier.get_nowait(b"still %d" % n) for n in range(20))
    tier.close()


def test_what_is_too_large_is_refused_and_replaces_nothing(tmp_path):
    lost = []
    tier = DiskTier(tmp_path / "t", max_bytes=8192, on_evict=lambda *args: lost.append(args[::2]))
    tier.put_nowait(b"other", blob())
    tier.put_nowait(b"a", blob())
    tier.put_nowait(b"a", blob(bytes(9000)))
    assert lost == [(b"a", "capacity")]
    assert tier.get_nowait(b"a") is None
    assert tier.get_nowait(b"other") == blob()
    tier.close()


def test_evicted_values_are_read_where_they_are_asked_for(tmp_path):
    lost = []
    tier = DiskTier(
        tmp_path / "t",
        max_entries=1,
        report_values=True,
        on_evict=lambda *args: lost.append(args),
    )
    tier.put_nowait(b"a", blob(b"1"))
    tier.put_nowait(b"b", blob(b"2"))
    assert lost == [(b"a", blob(b"1"), "capacity")]
    tier.close()


# --- damage -----------------------------------------------------------------------------------


def fill(folder, n=40, **options):
    tier = DiskTier(folder, **options)
    values = {b"key %d" % i: blob(b"value %d " % i * (i % 30)) for i in range(n)}
    for key, value in values.items():
        tier.put_nowait(key, blob(b"outdated"))
        tier.put_nowait(key, value)
    tier.drop_nowait(b"key 3")
    tier.close()
    return {**values, b"key 3": None}


def check(folder, values):
    """Every value is right or missing; return how many are missing and what was counted."""
    tier = DiskTier(folder)
    found = {key: tier.get_nowait(key) for key in values}
    missing = [key for key in values if found[key] != values[key]]
    assert all(found[key] is None for key in missing)
    assert set(tier.live_keys()) <= set(values)
    stats = tier.stats()
    tier.close()
    return len(missing), stats


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), n_flips=st.integers(1, 4))
def test_flipped_bits_are_a_miss_and_a_count(tmp_path_factory, seed, n_flips):
    folder = tmp_path_factory.mktemp("tier") / "t"
    values = fill(folder)
    chance = random.Random(seed)
    for _ in range(n_flips):
        path = chance.choice(sorted(folder.glob("*.seg")))
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    missing, stats = check(folder, values)
    assert not missing or stats.corrupt or missing <= n_flips  # a flipped state byte drops silently


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 6000), garbage=st.binary(max_size=200))
def test_a_torn_tail_is_cut(tmp_path_factory, cut, garbage):
    folder = tmp_path_factory.mktemp("tier") / "t"
    values = fill(folder, max_bytes=1 << 22)
    path = max(folder.glob("*.seg"))
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)] + garbage)
    check(folder, values)
    _, stats = check(folder, values)
    assert stats.corrupt == 0  # the first opening has cut what was torn
    tier = DiskTier(folder)
    tier.put_nowait(b"new", blob(b"after"))
    tier.close()
    assert check(folder, {**values, b"new": blob(b"after")})[1].corrupt == 0


def test_a_segment_cached_as_a_value_brings_nothing_back(tmp_path):
    fill(tmp_path / "a")
    image = max((tmp_path / "a").glob("*.seg")).read_bytes()
    tier = DiskTier(tmp_path / "b")
    tier.put_nowait(b"image", blob(image))
    tier.close()
    path = next((tmp_path / "b").glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[17] ^= 0xFF  # the head of the record that holds the image
    path.write_bytes(data)
    tier = DiskTier(tmp_path / "b")
    assert tier.live_keys() == []
    assert tier.stats().corrupt > 0
    tier.close()


def test_records_moved_within_or_between_files_are_not_believed(tmp_path):
    folder = tmp_path / "t"
    tier = DiskTier(folder)
    tier.put_nowait(b"a", blob(b"1"))
    tier.put_nowait(b"b", blob(b"2"))
    tier.close()
    path = next(folder.glob("*.seg"))
    data = path.read_bytes()
    half = (len(data) - 16) // 2
    path.write_bytes(data[:16] + data[16 + half :] + data[16 : 16 + half])
    tier = DiskTier(folder)
    assert tier.live_keys() == []
    assert tier.stats().corrupt
    tier.close()


def test_other_files_and_links_in_the_folder_are_left_alone(tmp_path):
    fill(tmp_path / "t")
    (tmp_path / "t" / "notes.txt").write_text("keep")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "t" / "000000009999.seg").symlink_to(victim)
    DiskTier(tmp_path / "t").close()
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "t" / "notes.txt").exists()


@pytest.mark.parametrize("after", [0, 1])
def test_sigkill_loses_no_acknowledged_record(tmp_path, after):
    code = f"""
        import sys
        from raudo.cache.tiers import DiskTier
        from raudo.types import Blob
        tier = DiskTier({str(tmp_path / "t")!r}, max_bytes=1 << 24)
        n = 0
        while True:
            key = b"%d" % (n % 500)
            data = b"%d," % n * 400
            tier.put_nowait(key, Blob(data, "bytes", len(data)))
            if n % 7 == 3:
                tier.drop_nowait(b"%d" % ((n - 3) % 500))
            sys.stdout.write(f"{{n}}\\n")
            sys.stdout.flush()
            n += 1
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, bufsize=0
    )
    said = b""
    with worker.stdout as pipe:
        while b"\n%d\n" % (700 + 500 * after) not in said:
            said += pipe.read(65536)
        worker.kill()
        while more := pipe.read(65536):
            said += more
    worker.wait(30)
    acknowledged = int(said[: said.rindex(b"\n")].split(b"\n")[-1])
    expected = {}
    for n in range(acknowledged + 1):
        expected[n % 500] = n
        if n % 7 == 3:
            expected.pop((n - 3) % 500, None)
    tier = DiskTier(tmp_path / "t", max_bytes=1 << 24)
    in_flight = {(acknowledged + 1) % 500, (acknowledged - 2) % 500}
    for k in range(500):
        found = tier.get_nowait(b"%d" % k)
        if k in in_flight:
            continue
        assert (found.payload if found else None) == (
            b"%d," % expected[k] * 400 if k in expected else None
        )
    tier.close()


# --- a disk that refuses ----------------------------------------------------------------------


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
