"""Damaged files of the disk tier are a miss and a count, and what was acknowledged stays."""

import random
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.disk_helpers import blob
from raudo.cache.tiers import DiskTier


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
