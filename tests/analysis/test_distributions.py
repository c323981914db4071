"""How figures of documents are counted in bins, and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from raudo.analysis import DocumentAnalyzer
from raudo.analysis.distributions import histogram_of
from raudo.analysis.plots import bars, histogram, shares


@pytest.mark.parametrize("most", [1, 2, 7, 100, 10**9])
def test_logarithmic_bins_hold_every_whole_number_once(most: int) -> None:
    values = np.unique(np.linspace(1, most, 500).astype(np.int64))
    found = histogram_of(values, is_logarithmic=True)
    assert found is not None
    assert sum(found.counts) == len(values)
    assert all(edge == round(edge) for edge in found.edges)
    assert found.edges[0] == 1
    assert found.edges[-1] > most
    assert "median" in histogram(found, "words")


def test_quantiles_and_bins_of_a_known_spread() -> None:
    found = histogram_of(np.arange(101) / 100, low=0.0, high=1.0)
    assert found is not None
    assert (found.p5, found.median, found.p95) == (0.05, 0.5, 0.95)
    assert (found.edges[0], found.edges[-1], sum(found.counts)) == (0, 1, 101)


def test_what_lies_beyond_is_counted_at_the_ends() -> None:
    values = np.array([-1e9, 10.0, 1e9])
    found = histogram_of(values, low=-20, high=120, is_clipped=True)
    assert found is not None
    assert (found.edges[0], found.edges[-1]) == (-20, 120)
    assert (found.counts[0], found.counts[-1], sum(found.counts)) == (1, 1, 3)
    assert "and more" in histogram(found, "points")


def test_nothing_and_equal_values_are_shown() -> None:
    assert histogram_of(np.empty(0)) is None
    assert "Nothing" in histogram(None, "words")
    assert "Nothing" in bars([], [], [], "none")
    assert "aria-label='none'" in shares([("a", 0)], "none")
    same = histogram_of(np.full(9, 3.5))
    assert same is not None
    assert sum(same.counts) == 9


def test_summary_tells_how_figures_are_spread() -> None:
    texts = ["The cat sat on the mat, and it was happy.", "这是一只猫。", "one two", "one two"]
    found = DocumentAnalyzer(figures=True).analyze(texts, threshold=0.9).summary()["distributions"]
    assert found["languages"] == {"und": 2, "en": 1, "zh": 1}
    assert found["group_sizes"] == {"2": 1}
    assert sum(found["readability"]["counts"]) == 1
    assert found["top_terms"]["two"] == 2
    plain = DocumentAnalyzer().analyze(texts).summary()["distributions"]
    assert set(plain) == {"words", "nearest", "group_sizes"}
    assert DocumentAnalyzer().analyze([]).summary()["distributions"] == {"group_sizes": {}}
