"""Values that the arena makes itself: what lz4 and pickle make of the same bytes, or nothing."""

import pickle
import random

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo._core.arena import Arena
from raudo._core.plain import load_plain
from raudo.cache.tiers.blobs import BLOBS, META_OF_PACKED, META_OF_PLAIN
from raudo.types import Blob

KEY = b"k"


def arena_with(payload, codec, raw_bytes, **options):
    arena = Arena(BLOBS, None, META_OF_PLAIN, META_OF_PACKED)
    assert arena.put(KEY, Blob(payload, codec, raw_bytes, **options)) == 1
    return arena


def packed(value):
    raw = pickle.dumps(value, 5)
    return lz4.block.compress(raw, store_size=False), raw


words = st.lists(st.sampled_from(["alpha", "beta", "x" * 40, ""]), max_size=200)


@given(st.one_of(words, st.binary(max_size=3000), st.text(max_size=500)))
def test_packed_values_come_back(value):
    payload, raw = packed(value)
    arena = arena_with(payload, "plain+lz4", len(raw))
    assert arena.raw_bytes(KEY) == len(raw)
    assert arena.take_value(KEY) == value
    assert len(arena) == arena.raw_bytes(KEY) == 0


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 254, 255, 256, 270, 300, 65_000])
@pytest.mark.parametrize("period", [1, 2, 3, 7, 8, 9, 64, 5000])
def test_runs_of_any_length_and_distance_come_back(size, period):
    unit = random.Random(period).randbytes(period)
    value = (unit * (size // period + 1))[:size]
    payload, raw = packed(value)
    assert arena_with(payload, "plain+lz4", len(raw)).take_value(KEY) == value


def test_damaged_blocks_give_what_lz4_gives_or_nothing():
    chance = random.Random(1)
    for _ in range(3000):
        words = [chance.choice(["ab", "cd", n]) for n in range(chance.randrange(90))]
        payload, raw = packed(words)
        damaged = bytearray(payload)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.3:
            del damaged[chance.randrange(len(damaged)) :]
        block = bytes(damaged)
        arena = arena_with(block, "plain+lz4", len(raw))
        try:
            unpacked = lz4.block.decompress(block, uncompressed_size=len(raw))
            wanted = load_plain(unpacked) if len(unpacked) == len(raw) else NotImplemented
        except lz4.block.LZ4BlockError:
            wanted = NotImplemented
        found = arena.take_value(KEY)
        if found is NotImplemented:
            assert len(arena) == 1  # the codec that says why finds it unchanged
        else:
            assert repr(found) == repr(wanted)


def test_what_takes_more_stays_for_the_longer_way():
    raw = pickle.dumps([1, 2], 5)
    for payload, codec, n, options in (
        (raw, "pickle", len(raw), {}),
        (raw, "plain", len(raw) + 1, {}),
        (raw, "plain", len(raw), {"expires_ns": 1}),
        (raw, "plain", len(raw), {"tags": (("t", 1),)}),
        (raw, "plain+zstd", len(raw), {}),
        (bytes(70_000), "plain", 70_000, {}),
        (pickle.dumps(complex(1), 5), "plain", len(pickle.dumps(complex(1), 5)), {}),
    ):
        arena = arena_with(payload, codec, n, **options)
        assert arena.take_value(KEY) is NotImplemented
        assert arena.take(KEY).payload == payload
    assert Arena(BLOBS).take_value(b"missing") is NotImplemented
