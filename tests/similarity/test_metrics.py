"""Every built-in metric, and one of a user's, against the contract of a metric."""

import math

import numpy as np
import pytest

from raudo.similarity import Metric, metric_names, nearest, pairwise_distances, register_metric
from raudo.testing.metric import MetricContract


class TestSqeuclidean(MetricContract):
    metric = "sqeuclidean"

    def distance(self, a, b):
        return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


class TestEuclidean(MetricContract):
    metric = "euclidean"

    def distance(self, a, b):
        return math.dist(a.astype(float), b.astype(float))


class TestCosine(MetricContract):
    metric = "cosine"

    def distance(self, a, b):
        norm = math.hypot(*a) * math.hypot(*b)
        return 1 - sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / norm


class TestInner(MetricContract):
    metric = "inner"

    def distance(self, a, b):
        return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


class TestInnerOfInt8(TestInner):
    def rows(self, n, d, seed):
        return np.random.default_rng(seed).integers(-128, 128, (n, d), dtype=np.int8)


class TestSqeuclideanOfInt8(TestSqeuclidean):
    rows = TestInnerOfInt8.rows


class TestCityblock(MetricContract):
    metric = "cityblock"

    def distance(self, a, b):
        return sum(abs(float(x) - float(y)) for x, y in zip(a, b, strict=True))


class TestCityblockOfFloat64(TestCityblock):
    tolerance = 1e-12

    def rows(self, n, d, seed):
        return np.random.default_rng(seed).standard_normal((n, d))


class TestHamming(MetricContract):
    metric = "hamming"

    def rows(self, n, d, seed):
        return np.random.default_rng(seed).integers(0, 3, (n, d)).astype(np.float32)

    def distance(self, a, b):
        return sum(x != y for x, y in zip(a, b, strict=True)) / len(a)


class TestHammingOfBools(TestHamming):
    def rows(self, n, d, seed):
        return np.random.default_rng(seed).random((n, d)) < 0.4


class TestHammingOfPackedBits(TestHamming):
    widths = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 64)

    def rows(self, n, d, seed):
        return np.random.default_rng(seed).integers(0, 256, (n, d), dtype=np.uint8)

    def distance(self, a, b):
        return sum((int(x) ^ int(y)).bit_count() for x, y in zip(a, b, strict=True)) / (8 * len(a))


class TestJaccard(MetricContract):
    metric = "jaccard"

    def rows(self, n, d, seed):
        return np.random.default_rng(seed).random((n, d)) < 0.3

    def distance(self, a, b):
        either = sum(bool(x) or bool(y) for x, y in zip(a, b, strict=True))
        both = sum(bool(x) and bool(y) for x, y in zip(a, b, strict=True))
        return 1 - both / either if either else 0.0


class TestJaccardOfPackedBits(TestJaccard):
    widths = (1, 2, 7, 8, 9, 16, 17, 32)
    rows = TestHammingOfPackedBits.rows

    def distance(self, a, b):
        both = sum(int(x & y).bit_count() for x, y in zip(a, b, strict=True))
        either = sum(int(x | y).bit_count() for x, y in zip(a, b, strict=True))
        return 1 - both / either if either else 0.0


class TestAFunction(MetricContract):
    metric = Metric("chebyshev", function=lambda x, y: np.abs(x[:, None] - y[None]).max(axis=2))

    def distance(self, a, b):
        return max(abs(float(x) - float(y)) for x, y in zip(a, b, strict=True))


class TestAFunctionWhereLargerIsNearer(MetricContract):
    metric = Metric(
        "product",
        function=lambda x, y: (x[:, None] * y[None]).sum(axis=2) + 1,
        larger_is_nearer=True,
    )
    tolerance = 1e-3

    def distance(self, a, b):
        return float(a.astype(float) @ b.astype(float)) + 1


def test_registered_metric_is_known_by_its_name():
    assert "test-corner" not in metric_names()
    register_metric(Metric("test-corner", function=lambda x, y: np.zeros((len(x), len(y)))))
    assert "test-corner" in metric_names()
    assert nearest([[1.0]], [[2.0], [3.0]], 2, "test-corner").ids.tolist() == [[0, 1]]


def test_built_in_metric_cannot_be_replaced():
    with pytest.raises(ValueError, match="'inner' is a built-in"):
        register_metric(Metric("inner", function=lambda x, y: x @ y.T))
    with pytest.raises(TypeError, match="a Metric is wanted"):
        register_metric("inner")


def test_metric_wants_one_way_to_be_computed():
    with pytest.raises(ValueError, match="either a function or a kernel"):
        Metric("nothing")
    with pytest.raises(TypeError, match="not callable"):
        Metric("number", function=3)
    with pytest.raises(ValueError, match="non-empty"):
        Metric("", function=lambda x, y: x)


def test_function_of_the_wrong_shape_is_told():
    with pytest.raises(ValueError, match=r"returned shape \(2,\) for \(2, 2\)"):
        pairwise_distances(np.eye(2), None, Metric("flat", function=lambda x, y: np.zeros(2)))
