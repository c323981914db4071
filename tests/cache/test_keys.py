"""Bytes of keys are equal exactly when the keys are."""

import enum
import math
from collections import namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo.cache.keys import KeyEncodingError, decode_key, encode_key


class Colour(enum.Enum):
    RED = 1
    ROUGE = 1  # noqa: PIE796  an alias on purpose
    BLUE = 2


class Level(enum.IntEnum):
    ONE = 1


class Name(str):
    pass


class Odd(str):
    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__


Point = namedtuple("Point", "x y")

numbers = st.one_of(
    st.integers(),
    st.integers(-3, 3),
    st.booleans(),
    st.floats(allow_nan=False),
    st.floats(-2, 2, width=16),
    st.decimals(allow_nan=False, min_value=-100, max_value=100, places=2),
    st.fractions(min_value=-3, max_value=3, max_denominator=4),
    st.complex_numbers(allow_nan=False, max_magnitude=4, width=32),
)
atoms = st.one_of(
    numbers,
    st.text(st.characters(), max_size=4),
    st.binary(max_size=4),
    st.none(),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=1))])),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
)
keys = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)
    ),
    max_leaves=6,
)


@given(keys, keys)
def test_bytes_are_equal_exactly_when_keys_are(a, b):
    assert (encode_key(a) == encode_key(b)) == (a == b and hash(a) == hash(b))


@given(numbers, numbers)
def test_numbers_of_equal_value_are_one_key(a, b):
    assert (encode_key(a) == encode_key(b)) == (a == b)


@given(keys)
def test_decoding_gives_an_equal_key(key):
    back = decode_key(encode_key(key))
    assert back == key
    assert hash(back) == hash(key)


@pytest.mark.parametrize(
    "same",
    [
        (1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j, np.int64(1), np.float32(1), Level.ONE),
        (0, -0.0, False, Decimal("-0")),
        (0.5, Decimal("0.50"), Fraction(1, 2), np.float64(0.5)),
        (math.inf, Decimal("Infinity"), np.float64("inf")),
        ("a", Name("a"), np.str_("a")),
        (b"a", memoryview(b"a")),
        ((1, 2), Point(1, 2), (1.0, True + 1)),
        (Colour.RED, Colour.ROUGE),
        (10**40, Decimal(10**40)),
    ],
)
def test_what_a_dict_takes_for_one_key_is_one_key(same):
    assert all(each == same[0] and hash(each) == hash(same[0]) for each in same)
    assert len({encode_key(each) for each in same}) == 1


def test_what_a_dict_keeps_apart_stays_apart():
    apart = [
        "1",
        b"1",
        1,
        (1,),
        ((1,),),
        ("1",),
        frozenset({1}),
        None,
        "",
        (),
        ("a", "b"),
        ("ab",),
        ("a", ("b",)),
        (("a",), "b"),
        Colour.RED,
        Colour.BLUE,
        date(2020, 1, 1),
        datetime(2020, 1, 1),
        datetime(2020, 1, 1, tzinfo=UTC),
        UUID(int=1),
        PurePosixPath("1"),
        timedelta(1),
        0.1,
        Decimal("0.1"),
        1e300,
        2**70,
    ]
    assert len({encode_key(each) for each in apart}) == len(apart)


@pytest.mark.parametrize(
    "key", [object(), math.nan, Odd("a"), (1, object()), len, int, Decimal("1e99999")]
)
def test_a_key_without_a_stable_form_is_refused(key):
    with pytest.raises(KeyEncodingError):
        encode_key(key)


@pytest.mark.parametrize("data", [b"", b"?", b"ix", b"t\x00\x00\x00\x09a", b"u1", b"f", b"e"])
def test_bytes_that_are_no_key_are_refused(data):
    with pytest.raises(ValueError):
        decode_key(data)


def test_an_enum_key_is_decoded_without_importing():
    assert decode_key(encode_key(Colour.BLUE)) is Colour.BLUE
    with pytest.raises(ValueError):
        decode_key(encode_key(Colour.BLUE).replace(b"Colour", b"Dolour"))
