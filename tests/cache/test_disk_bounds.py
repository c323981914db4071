"""The disk tier's bounds: what is accounted for, and who goes first."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.disk_helpers import blob
from raudo.cache.tiers import DiskTier


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
