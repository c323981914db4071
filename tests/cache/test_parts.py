"""The small parts of SmartCache: sizes, tags, stats, the advisor."""

import random
import sys

import numpy as np
import pytest

from raudo._core.sizes import estimate_bytes
from raudo.cache import SmartCache
from raudo.cache.advise import ReuseSampler
from raudo.cache.tags import TagGenerations
from raudo.testing import FakeClock

# --- sizes ------------------------------------------------------------------------------------


def test_sizes_of_plain_values_are_exact():
    for value in ("x" * 1000, b"x" * 1000, 1, 1.5, None):
        assert estimate_bytes(value) == sys.getsizeof(value)
    assert estimate_bytes(np.zeros(1000)) >= 8000
    assert estimate_bytes(np.zeros(1000)[:500]) >= 4000


def test_sizes_of_containers_follow_their_items():
    assert estimate_bytes(["x" * 1000 for _ in range(100)]) > 90_000
    assert estimate_bytes({n: "x" * 1000 + str(n) for n in range(100)}) > 90_000
    loop = []
    loop.append(loop)
    assert estimate_bytes(loop) > 0


def test_sizes_survive_objects_that_misbehave():
    class Bad:
        def __sizeof__(self):
            raise RuntimeError

    assert estimate_bytes(Bad()) > 0
    with SmartCache(9, max_bytes=10_000) as cache:
        cache.set_nowait("a", Bad())
        assert cache.get_nowait("a") is not None


# --- tags -------------------------------------------------------------------------------------


def test_generations_survive_in_their_file(tmp_path):
    clock = FakeClock()
    tags = TagGenerations(tmp_path / "tags", clock)
    before = tags.stamp(["a", "b"])
    tags.invalidate("a")
    after = tags.stamp(["a", "b"])
    for each in (tags, TagGenerations(tmp_path / "tags", clock)):
        assert not each.is_current(before)
        assert each.is_current(after)
        assert each.stamp(["b", "a", "b"]) == (after[1], after[0])


def test_generations_without_end_stay_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("raudo.cache.tags._MAX_TAGS", 10)
    tags = TagGenerations(tmp_path / "tags")
    stamps = tags.stamp(["never invalidated"])
    for n in range(25):
        tags.invalidate(f"t{n}")
    assert not tags.is_current(stamps)
    assert (tmp_path / "tags").stat().st_size < 1000
    assert TagGenerations(tmp_path / "tags").is_current(tags.stamp(["x", "t24"]))


def test_a_file_that_cannot_be_written_is_counted_and_removed(tmp_path, monkeypatch):
    tags = TagGenerations(tmp_path / "tags")
    stamps = tags.stamp(["a"])

    def refuse(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", refuse)
        tags.invalidate("a")
    assert tags.errors == 1
    assert not tags.is_current(stamps)
    assert not TagGenerations(tmp_path / "tags").is_current(stamps)


# --- the advisor ------------------------------------------------------------------------------


def lru_hit_rate(keys, size):
    kept, hits = {}, 0
    for key in keys:
        if key in kept:
            hits += 1
            del kept[key]
        kept[key] = None
        if len(kept) > size:
            del kept[next(iter(kept))]
    return hits / len(keys)


@pytest.mark.parametrize("size", [60, 400])
def test_advice_is_near_an_exact_simulation(size):
    chance = random.Random(5)
    keys = [int(chance.paretovariate(0.6)) % 5000 for _ in range(30_000)]
    sampler = ReuseSampler(size)
    for key in keys:
        if sampler.follows(key):
            sampler.note(key)
    for factor, advice in sampler.advise(size, len(keys), 100.0, 1.0).items():
        exact = lru_hit_rate(keys, round(size * float(factor[:-1])))
        assert advice.hit_rate == pytest.approx(exact, abs=0.06)


def test_advice_without_lookups_is_nothing():
    with SmartCache(9) as cache:
        assert {advice.hit_rate for advice in cache.advise().values()} == {0.0}
