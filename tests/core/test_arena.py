"""The arena against an ordered dictionary, and its bound on memory."""

from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudo._core.arena import Arena
from raudo.cache.tiers.blobs import BLOBS
from raudo.types import Blob


def blob(data=b"payload", **changes):
    return Blob(data, **{"codec": "bytes", "raw_bytes": len(data), **changes})


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "get", "peek", "take", "oldest", "expire", "clear"]),
        st.integers(0, 15),
        st.sampled_from([0, 1, 60, 700, 5000]),
    ),
    max_size=120,
)


@settings(max_examples=80)
@given(steps, st.sampled_from([None, 2000, 20_000]))
def test_it_is_an_ordered_dictionary_that_says_when_it_is_full(steps, max_bytes):
    arena, model = Arena(BLOBS, max_bytes), OrderedDict()
    for n, (what, k, size) in enumerate(steps):
        key = b"key %d" % k
        if what == "put":
            tags = (("tag", n),) if n % 3 == 0 else ()
            value = blob(bytes([n % 251]) * size, expires_ns=n if n % 4 == 0 else 0, tags=tags)
            model.pop(key, None)
            while not (outcome := arena.put(key, value)):
                assert arena.take_oldest() == model.popitem(last=False)
            if outcome == 1:
                model[key] = value
            else:
                assert max_bytes is not None
                assert size * 2 > max_bytes
        elif what == "get":
            assert arena.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        elif what == "peek":
            assert arena.peek(key) == model.get(key)
        elif what == "take":
            assert arena.take(key) == model.pop(key, None)
        elif what == "oldest" and model:
            assert arena.take_oldest() == model.popitem(last=False)
        elif what == "expire":
            gone = [(key, each) for key, each in model.items() if 0 < each.expires_ns <= n // 2]
            assert arena.take_expired(n // 2) == gone
            for key, _ in gone:
                del model[key]
        elif what == "clear":
            arena.clear()
            model.clear()
            assert arena.held_bytes == 0
        assert len(arena) == len(model)
        assert max_bytes is None or arena.held_bytes <= max_bytes
    assert arena.items() == list(model.items())


def test_memory_is_near_what_the_entries_take():
    arena = Arena(BLOBS)
    for n in range(20_000):
        arena.put(b"%d" % (n % 3000), blob(bytes(n % 400)))
    live = sum(len(key) + len(each.payload) for key, each in arena.items())
    assert arena.held_bytes < 1.35 * live + 3000 * 120
    for n in range(3000):
        arena.take(b"%d" % n)
    assert len(arena) == 0
    assert arena.held_bytes < 3000 * 150  # the tables and the last chunk


def test_an_empty_arena_has_no_oldest():
    with pytest.raises(KeyError):
        Arena(BLOBS).take_oldest()


@pytest.mark.parametrize("bad", ["text", None, 5])
def test_keys_are_bytes(bad):
    with pytest.raises(TypeError):
        Arena(BLOBS).put(bad, blob())
