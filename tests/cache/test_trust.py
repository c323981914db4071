"""What others wrote into the folder: never run, never believed, always counted."""

import os
import pickle
import random
import zlib
from dataclasses import dataclass, replace

import pytest

from raudo.cache import SmartCache
from raudo.cache.keys import encode_key
from raudo.cache.tiers import DiskTier
from raudo.types import Blob

SECRET = b"a secret of sixteen bytes"


@dataclass
class Order:
    number: int


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.fixture(autouse=True)
def _nothing_is_called(monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("a record was executed"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def cache(folder, **settings):
    return SmartCache(100, "lru", levels=(0.1, 0, 0.9), path=folder, **settings)


def filled(folder, values, **settings):
    with cache(folder, **settings) as made:
        for key, value in values.items():
            made.set_nowait(key, value)


def plant(folder, key, blob):
    """Write a record as someone could who knows the format: with right checksums."""
    tier = DiskTier(folder)
    tier.put_nowait(encode_key(key), blob)
    tier.close()


def planted(folder, key):
    tier = DiskTier(folder)
    try:
        return tier.get_nowait(encode_key(key))
    finally:
        tier.close()


HOSTILE = [
    pickle.dumps(Evil()),
    pickle.dumps(Evil(), 0),
    pickle.dumps([1, {"a": Evil()}], 5),
    b"\x80\x05cos\nsystem\n(S'exit 3'\ntR.",
    b"\x80\x05(S'exit 3'\nios\nsystem\n.",
    pickle.dumps(Order(1)),
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("codec", ["plain", "pickle"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["unsigned", "signed"])
def test_planted_pickles_are_misses(folder, payload, codec, secret):
    filled(folder, {"good": [1, 2]}, secret=secret)
    plant(folder, "bad", Blob(payload, codec, len(payload)))
    with cache(folder, secret=secret) as opened:
        assert opened.get_nowait("bad", "miss") == "miss"
        assert opened.get_nowait("good") == [1, 2]
        stats = opened.get_stats()
        assert stats["forbidden"] + stats["corrupt"] == 1
        opened.set_nowait("bad", "mended")
        assert opened.get_nowait("bad") == "mended"


async def test_planted_pickles_are_misses_in_a_loop(folder):
    plant(folder, "bad", Blob(HOSTILE[0], "plain", len(HOSTILE[0])))
    async with cache(folder) as opened:
        assert await opened.get("bad", "miss") == "miss"
        assert await opened.get_or_load("bad", lambda key: "loaded") == "loaded"


@pytest.mark.parametrize(
    "blob",
    [
        Blob(b"x" * 100, "plain+lz4", 1 << 40),
        Blob(b"x" * 100, "plain+zstd", 100),
        Blob(b"x" * 100, "plain+lz4+lz4", 100),
        Blob(zlib.compress(b"x"), "plain+zlib", 1),
        Blob(b"\xff\xfe", "str", 2),
        Blob(b"", "", 0),
        Blob(b"I1\n.", "json", 4),
        Blob(b"\x80\x05", "plain", 2),
    ],
    ids=lambda blob: blob.codec or "none",
)
def test_planted_nonsense_is_a_miss(folder, blob):
    plant(folder, "bad", blob)
    with cache(folder) as opened:
        assert opened.get_nowait("bad", "miss") == "miss"
        assert opened.get_stats()["corrupt"] == 1


def test_a_class_travels_only_where_it_is_allowed_or_signed(folder, tmp_path):
    for settings, survives in (({}, False), ({"allow": [Order]}, True), ({"secret": SECRET}, True)):
        place = tmp_path / repr(sorted(settings))
        with cache(place, **settings) as made:
            made.set_nowait("o", Order(7))
            made.flush_nowait()
            assert made.get_stats()["forbidden"] == (not survives)
        with cache(place, **settings) as opened:
            assert opened.get_nowait("o") == (Order(7) if survives else None)


def test_signed_records_cannot_be_swapped(folder):
    filled(folder, {"a": "of a", "b": "of b"}, secret=SECRET)
    plant(folder, "b", planted(folder, "a"))
    with cache(folder, secret=SECRET) as opened:
        assert opened.get_nowait("b", "miss") == "miss"
        assert opened.get_nowait("a") == "of a"
        assert opened.get_stats()["corrupt"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda blob: replace(blob, expires_ns=1 << 62),
        lambda blob: replace(blob, payload=blob.payload[:-1]),
        lambda blob: replace(blob, payload=blob.payload[:40] + b"!" + blob.payload[41:]),
        lambda blob: replace(blob, codec=blob.codec.removesuffix("+signed")),
        lambda blob: replace(blob, codec="bytes+signed"),
        lambda blob: replace(blob, raw_bytes=blob.raw_bytes + 1),
        lambda blob: replace(blob, tags=(("t", 0),)),
        lambda blob: Blob(HOSTILE[0], "pickle+signed", len(HOSTILE[0])),
    ],
    ids=range(8),
)
def test_signed_records_cannot_be_changed(folder, change):
    with cache(folder, secret=SECRET) as made:
        made.set_nowait("a", "authentic", ttl=3600)
    plant(folder, "a", change(planted(folder, "a")))
    with cache(folder, secret=SECRET) as opened:
        assert opened.get_nowait("a", "miss") == "miss"
        assert opened.get_stats()["corrupt"] == 1


def test_neither_unsigned_nor_otherwise_signed_records_are_believed(folder):
    filled(folder, {"a": "unsigned"})
    with cache(folder, secret=SECRET) as opened:
        assert opened.get_nowait("a", "miss") == "miss"
        opened.set_nowait("b", "signed")
    with cache(folder, secret=b"some other secret of ours") as opened:
        assert opened.get_nowait("b", "miss") == "miss"


def test_an_old_record_put_back_is_the_old_value_and_no_other(folder):
    """The signature's known limit: what was authentic once is authentic."""
    filled(folder, {"a": "old"}, secret=SECRET)
    old = planted(folder, "a")
    filled(folder, {"a": "new"}, secret=SECRET)
    plant(folder, "a", old)
    with cache(folder, secret=SECRET) as opened:
        assert opened.get_nowait("a") == "old"


def test_an_expired_record_put_back_stays_expired(folder):
    with cache(folder, secret=SECRET) as made:
        made.set_nowait("a", "mortal", ttl=3600)
    old = planted(folder, "a")
    plant(folder, "a", replace(old, expires_ns=1))
    with cache(folder, secret=SECRET) as opened:
        assert opened.get_nowait("a", "miss") == "miss"


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_give_right_values_or_misses(folder, seed):
    values = {n: {"n": n, "text": f"value {n} " * (n % 40)} for n in range(60)}
    filled(folder, values, secret=SECRET if seed % 2 else None)
    chance = random.Random(seed)
    for path in sorted(folder.glob("*.seg")):
        data = bytearray(path.read_bytes())
        what = chance.randrange(4)
        if what == 0:
            data = data[: chance.randrange(len(data))]
        elif what == 1:
            for _ in range(chance.randrange(1, 20)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif what == 2:
            at = chance.randrange(len(data))
            data[at : at + 500] = bytes(500)
        else:
            at = chance.randrange(len(data))
            data[at:at] = chance.randbytes(300)
        path.write_bytes(data)
    with cache(folder, secret=SECRET if seed % 2 else None) as opened:
        found = {n: opened.get_nowait(n) for n in values}
        assert all(found[n] in (None, values[n]) for n in values)
        if any(found[n] is None for n in values):
            assert opened.get_stats()["corrupt"] > 0


def test_files_damaged_under_an_open_cache_give_right_values_or_misses(folder):
    values = {n: ["value", n, "x" * 300] for n in range(80)}
    with cache(folder) as opened:
        for n, value in values.items():
            opened.set_nowait(n, value)
        opened.flush_nowait()
        path = max(folder.glob("*.seg"))
        with open(path, "r+b") as file:
            size = path.stat().st_size
            for at in range(200, size, 701):
                file.seek(at)
                file.write(b"\xaa")
        found = {n: opened.get_nowait(n) for n in values}
        assert all(found[n] in (None, values[n]) for n in values)
        assert opened.get_stats()["corrupt"] > 0
