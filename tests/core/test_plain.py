"""The reader of plain pickles gives what pickle gives, or leaves the pickle to it."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo._core.plain import load_plain

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.binary().map(bytearray),
)
hashable = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner).map(tuple), st.frozensets(inner)),
    max_leaves=6,
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(hashable, inner),
        st.sets(hashable),
        st.frozensets(hashable),
    ),
    max_leaves=20,
)


@given(values)
def test_plain_values_are_read_as_pickle_reads_them(value):
    data = pickle.dumps(value, 5)
    found = load_plain(data)
    assert repr(found) == repr(pickle.loads(data))  # tells NaN, -0.0, 1 and True apart


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 255, 256, 257, 1000, 1001, 70_000])
def test_sizes_at_the_borders_of_opcodes(n):
    for value in (
        [None] * n,
        tuple(range(n)),
        {k: k for k in range(n)},
        set(range(n)),
        frozenset(range(n)),
        "a" * n,
        "é" * n,
        bytes(n),
        bytearray(n),
        [1 << n % 3000, -(1 << n % 3000)],
        [[] for _ in range(n)],
        [str(k) for k in range(n)] * 2,
    ):
        assert load_plain(memoryview(pickle.dumps(value, 5))) == value


def test_shared_and_cyclic_values_keep_their_shape():
    inner = [1]
    value = {"a": inner, "b": (inner, {"c": inner})}
    value["self"] = value
    value["pair"] = pair = ([],)
    pair[0].append(pair)
    found = load_plain(pickle.dumps(value, 5))
    assert found["a"] is found["b"][0] is found["b"][1]["c"]
    assert found["self"] is found
    assert found["pair"][0][0] is found["pair"]


@pytest.mark.parametrize("value", [int, print, 1j, range(3), ValueError("x"), [b"\x93", print]])
def test_what_names_a_class_is_left_to_pickle(value):
    assert load_plain(pickle.dumps(value, 5)) is NotImplemented


@pytest.mark.parametrize("protocol", range(4))
def test_older_protocols_are_left_to_pickle(protocol):
    assert load_plain(pickle.dumps({"a": [1, 2]}, protocol)) is NotImplemented


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".",
        b"(.",
        b"N(.",
        b"u.",
        b"}u.",
        b"}(Nu.",
        b"}(]Nu.",  # a key that cannot be hashed
        b"N(NNu.",
        b"(}NNs.",
        b"](e" + b".",
        b")(Ne.",
        b"(\x91\x91.",
        b"\x91.",
        b"(\x8f(Ne.",
        b"(N\x91(N\x90.",
        b"\x94.",
        b"h\0.",
        b"N\x94h\1.",
        b"j\0\0\0\xff.",
        b"\x85.",
        b"N\x86.",
        b"(NN\x87.",
        b"N(\x85.",
        b"t.",
        b"0.",
        b"N(0.",
        b"1.",
        b"a.",
        b"](a.",
        b"K",
        b"M\1.",
        b"G1234567.",
        b"\x8c\5ab.",
        b"X\xff\xff\xff\xffab.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        b"\x8c\1\xff.",
        b"\x95\0\0.",
        b"cos\nsystem\n.",
        b"\x8c\2os\x8c\6system\x93.",
        b"NNb.",
        b"NR.",
        b"P1\n.",
        b"\x82\1.",
        b"\x97.",
    ],
)
def test_unfit_bytes_are_left_to_pickle(body):
    found = load_plain(b"\x80\x05" + body)
    assert found is NotImplemented or found == pickle.loads(b"\x80\x05" + body)


@given(values, st.data())
def test_damaged_pickles_do_no_harm(value, data):
    damaged = bytearray(pickle.dumps(value, 5))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    found = load_plain(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    assert found is NotImplemented or type(found) in (
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        bytearray,
        list,
        tuple,
        dict,
        set,
        frozenset,
    )


def nested(body: bytes, depth: int) -> bytes:
    """Return a pickle of a tuple in a tuple and so on, and what follows it."""
    return b"\x80\x05" + body.replace(b"DEEP", b")" + b"\x85" * depth)


@pytest.mark.parametrize(
    "body", [b"}DEEPNs.", b"}(DEEPNu.", b"\x8f(DEEP\x90.", b"(DEEP\x91.", b"\x8f(KDEEP(tDEEP\x90."]
)
def test_keys_of_tuples_too_deep_are_refused(body):
    with pytest.raises(ValueError, match="at most 500 deep"):
        load_plain(nested(body.replace(b"KDEEP", b"K\1"), 3_000_000))


def test_deep_tuples_that_nobody_hashes_are_read():
    found = load_plain(nested(b"DEEP.", 1_000_000))
    for _ in range(1_000_000):
        (found,) = found
    assert found == ()


def test_keys_of_tuples_not_too_deep_are_read():
    data = nested(b"}DEEPNs.", 499)
    assert load_plain(data) == pickle.loads(data)
