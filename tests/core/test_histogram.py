"""The histogram against a sorted list of what was put in."""

from __future__ import annotations

import math
import pickle
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raudo._core.histogram import Histogram

LONGEST_NS = 2**42
durations = st.one_of(
    st.integers(0, 2**42),
    st.integers(0, 40).flatmap(lambda k: st.integers(max(0, 2**k - 1), 2**k + 1)),
)


def of(values):
    histogram = Histogram()
    for ns in values:
        histogram.record_ns(ns)
    return histogram


def state(histogram):
    return (
        histogram.count,
        histogram.total,
        [histogram.quantile(n / 16) for n in range(17)],
        histogram.below_powers(5, 42),
    )


def test_empty_one_says_zero():
    empty = Histogram()
    assert (empty.count, empty.total, empty.mean, empty.max, empty.quantile(0.5)) == (0, 0, 0, 0, 0)


@given(st.lists(durations, min_size=1), st.floats(0, 1))
def test_quantile_is_at_most_a_sixteenth_too_long(values, share):
    exact = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    found = of(values).quantile(share) * 1e9
    assert exact * (1 - 1e-9) <= found
    assert found <= exact * (1 + 1 / 16) + 1


@given(st.lists(durations))
@example([LONGEST_NS - 1, LONGEST_NS, 2 * LONGEST_NS])
@example([LONGEST_NS - LONGEST_NS // 32])
def test_counts_below_powers_are_exact(values):
    expected = [sum(ns < 2**power for ns in values) for power in range(5, 43)]
    assert of(values).below_powers(5, 42) == expected


@given(st.lists(durations), st.lists(durations))
def test_merging_is_counting_together_and_since_takes_it_apart(first, then):
    early = of(first)
    both = early.copy()
    both.merge(of(then))
    assert state(both) == state(of(first + then))
    later = both.since(early)
    assert later.count == len(then)
    assert later.below_powers(5, 42) == of(then).below_powers(5, 42)
    assert max(then, default=0) * (1 - 1e-9) <= later.max * 1e9
    assert later.max <= both.max
    assert state(early) == state(of(first))


def test_since_a_later_state_is_all_there_is():
    assert of([5]).since(of([5, 6])).count == 1
    assert of([10**9, 10**9]).since(of([1, 1])).count == 2


@given(st.lists(durations))
def test_it_survives_pickling(values):
    histogram = of(values)
    assert state(pickle.loads(pickle.dumps(histogram))) == state(histogram)


def test_what_is_out_of_range_is_counted_at_the_ends():
    odd = Histogram()
    for seconds in (-1.0, math.nan, 1e300, math.inf):
        odd.record(seconds)
    odd.record_ns(-5)
    odd.record_ns(2**200)
    assert odd.count == 6
    assert odd.quantile(0.5) == 0
    assert odd.quantile(1.0) == odd.max >= 1e6
    assert odd.below_powers(5, 42)[-1] == 3


def test_wrong_shares_and_powers_are_refused():
    with pytest.raises(ValueError, match="share"):
        Histogram().quantile(1.1)
    with pytest.raises(ValueError, match="share"):
        Histogram().quantile(math.nan)
    for first, last in ((4, 9), (9, 5), (5, 43)):
        with pytest.raises(ValueError, match="first and last"):
            Histogram().below_powers(first, last)


def test_mean_and_quantiles_of_many():
    shuffled = list(range(1, 10_001))
    random.Random(1).shuffle(shuffled)
    times = of(shuffled)
    assert times.mean == pytest.approx(5000.5e-9)
    assert times.max == 10_000e-9
    times.clear()
    assert times.count == 0
    assert times.below_powers(5, 42) == [0] * 38
