"""The full matrix: equal to SciPy's, whatever the shapes, types, layouts and instruction set."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist

from raudo._core import kernels
from raudo.similarity import pairwise_distances
from raudo.similarity._threads import available_cores, jobs_for

METRICS = ("sqeuclidean", "euclidean", "cosine", "cityblock", "hamming", "jaccard")
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def normal(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("q", "n", "d"), [(1, 1, 1), (4, 9, 3), (5, 16, 8), (97, 193, 33), (13, 400, 700)]
)
def test_matrix_equals_scipys(isa, metric, dtype, q, n, d):
    x, y = normal((q, d), dtype, 1), normal((n, d), dtype, 2)
    y[: q // 2] = x[: q // 2]
    wanted = cdist(x, y, metric)
    given = pairwise_distances(x, y, metric)
    assert given.dtype == dtype
    atol = TOLERANCE[dtype] * max(1, np.abs(wanted).max()) * 0.1
    np.testing.assert_allclose(given, wanted, rtol=TOLERANCE[dtype], atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inner_is_the_matrix_product(isa, dtype):
    x, y = normal((70, 300), dtype, 1), normal((201, 300), dtype, 2)
    wanted = x.astype(float) @ y.T.astype(float)
    np.testing.assert_allclose(
        pairwise_distances(x, y, "inner"), wanted, rtol=1e-4, atol=TOLERANCE[dtype] * 20
    )


def test_near_rows_keep_their_digits(isa):
    """Far from the origin, a millionth apart: |a|^2 + |b|^2 - 2ab has no digit left in float32."""
    x = normal((40, 64)) + 100
    y = x + np.float32(1e-3) * normal((40, 64), seed=1)
    exact = [
        float(
            sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(*rows, strict=True))
        )
        for rows in zip(x, y, strict=True)
    ]
    given = np.diagonal(pairwise_distances(x, y, "sqeuclidean"))
    np.testing.assert_allclose(given, exact, rtol=1e-5)
    double = cdist(x, y, "cosine")
    np.testing.assert_allclose(pairwise_distances(x, y, "cosine"), double, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_is_at_no_distance_from_itself(isa, metric, dtype):
    x = normal((50, 37), dtype) * 1000
    assert (np.diagonal(pairwise_distances(x, None, metric)) == 0).all()


@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e18, 1e30])
def test_extreme_scales_are_as_good_as_float32_is(isa, scale):
    x, y = normal((9, 20)) * np.float32(scale), normal((30, 20), seed=1) * np.float32(scale)
    np.testing.assert_allclose(
        pairwise_distances(x, y, "cosine"), cdist(x, y, "cosine"), rtol=1e-4, atol=1e-6
    )
    wanted = cdist(x, y, "sqeuclidean")
    representable = (wanted < 3e38) & (wanted > 1e-30)
    given = pairwise_distances(x, y, "sqeuclidean")
    np.testing.assert_allclose(given[representable], wanted[representable], rtol=1e-4)
    assert not np.isnan(given).any()


@pytest.mark.parametrize("metric", [*METRICS, "inner"])
def test_nan_stays_in_its_row_and_column(isa, metric):
    x, y = normal((9, 20)), normal((33, 20), seed=1)
    clean = pairwise_distances(x, y, metric)
    x[2, 3] = np.nan
    y[30, 0] = np.nan
    given = pairwise_distances(x, y, metric)
    if metric not in ("hamming", "jaccard"):
        assert np.isnan(given[2]).all()
        assert np.isnan(given[:, 30]).all()
    keep_x, keep_y = np.arange(9) != 2, np.arange(33) != 30
    np.testing.assert_allclose(
        given[keep_x][:, keep_y], clean[keep_x][:, keep_y], rtol=1e-4, atol=1e-5
    )


def test_zero_rows_have_no_cosine(isa):
    given = pairwise_distances(np.zeros((6, 4)), np.ones((6, 4)), "cosine")
    assert np.isnan(given).all()


def test_infinite_elements_are_infinitely_far(isa):
    x, y = normal((8, 5)), normal((8, 5), seed=1)
    x[3, 1] = np.inf
    given = pairwise_distances(x, y, "sqeuclidean")
    assert (given[3] == np.inf).all()
    assert np.isfinite(np.delete(given, 3, axis=0)).all()


@pytest.mark.parametrize("metric", [*METRICS, "inner"])
@pytest.mark.parametrize("q", [3, 9])
def test_rows_of_no_elements(metric, q):
    given = pairwise_distances(np.empty((q, 0), np.float32), np.empty((2, 0), np.float32), metric)
    assert given.shape == (q, 2)
    if metric == "cosine":
        assert np.isnan(given).all()
    else:
        assert (given == 0).all()


@pytest.mark.parametrize("q", [2, 12])
def test_layout_does_not_matter(q):
    x, y = normal((q, 30)), normal((40, 30), seed=1)
    wanted = pairwise_distances(x, y)
    unaligned = np.frombuffer(b"x" + y.tobytes(), np.uint8)[1:].view(np.float32).reshape(40, 30)
    wide = np.zeros((q, 61), np.float32)
    wide[:, 1::2] = x
    for a, b in (
        (np.asfortranarray(x), y),
        (x, y[::-1][::-1]),
        (wide[:, 1::2], y),
        (x, unaligned),
        (x.astype(">f4"), y),
        (x.tolist(), y.astype(np.float64)),
    ):
        np.testing.assert_allclose(pairwise_distances(a, b), wanted, rtol=1e-5)
    np.testing.assert_allclose(pairwise_distances(x[::-1], y), wanted[::-1], rtol=1e-6)
    np.testing.assert_array_equal(pairwise_distances(np.hstack([x, x])[:, :30], y), wanted)


@pytest.mark.parametrize(
    ("x_dtype", "y_dtype", "wanted"),
    [
        ("f2", "f2", "f4"),
        ("f2", "f4", "f4"),
        ("f4", "f8", "f8"),
        ("i8", "i8", "f8"),
        ("i1", "i1", "f8"),
        ("i1", "f4", "f8"),
        ("u1", "u1", "f8"),
        ("?", "?", "f8"),
    ],
)
def test_types_are_brought_together(x_dtype, y_dtype, wanted):
    x = np.random.default_rng(0).integers(0, 2, (6, 10))
    y = np.random.default_rng(1).integers(0, 2, (12, 10))
    given = pairwise_distances(x.astype(x_dtype), y.astype(y_dtype), "sqeuclidean")
    assert given.dtype == wanted
    np.testing.assert_allclose(given, cdist(x, y, "sqeuclidean"), rtol=1e-5)


def test_out_is_filled_in_place():
    x, y = normal((20, 8)), normal((30, 8), seed=1)
    wanted = pairwise_distances(x, y)
    out = np.empty((20, 30), np.float32)
    assert pairwise_distances(x, y, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    strided = np.zeros((20, 90), np.float32)[:, ::3]
    assert pairwise_distances(x, y, out=strided) is strided
    np.testing.assert_array_equal(strided, wanted)
    part = np.full((22, 40), 7, np.float32)
    pairwise_distances(x, y, out=part[1:21, 5:35])
    np.testing.assert_array_equal(part[1:21, 5:35], wanted)
    part[1:21, 5:35] = 7
    assert (part == 7).all()


def test_out_may_be_an_input():
    x = normal((16, 16))
    wanted = pairwise_distances(x)
    pairwise_distances(x, out=x)
    np.testing.assert_array_equal(x, wanted)


def test_wrong_arguments_are_named():
    x = np.eye(3, dtype=np.float32)
    read_only = np.empty((3, 3), np.float32)
    read_only.flags.writeable = False
    for arguments, error, message in (
        ((x, np.eye(4)), ValueError, "x has 3 columns, y has 4"),
        ((x[0],), ValueError, r"x has shape \(3,\), two dimensions"),
        ((x, x[None]), ValueError, r"y has shape \(1, 3, 3\)"),
        (([["a"]],), TypeError, "x has dtype <U1, real numbers"),
        ((x.astype(complex),), TypeError, "complex"),
        (([[1.0], [1.0, 2.0]],), ValueError, "x is not a matrix"),
        ((x, x, "manhattan"), ValueError, "metric 'manhattan' is unknown: one of sqeuclidean"),
        ((x, x, 3), TypeError, "metric is int"),
        ((x, x, "inner", [0]), TypeError, "out is list"),
        ((x, x, "inner", np.empty((3, 2), np.float32)), ValueError, r"out is float32 of shape"),
        ((x, x, "inner", np.empty((3, 3))), ValueError, "float32 of shape .* is wanted"),
        ((x, x, "inner", read_only), ValueError, "out is read-only"),
        ((x, x, "inner", None, 0), ValueError, "n_jobs is 0"),
        ((x, x, "inner", None, -2), ValueError, "n_jobs is -2"),
        ((x, x, "inner", None, 1.5), TypeError, "n_jobs is 1.5"),
        ((np.uint8([[1]]), np.array([[True]]), "hamming"), TypeError, "uint8 is packed bits"),
    ):
        with pytest.raises(error, match=message):
            pairwise_distances(*arguments)


def test_small_work_stays_on_one_thread():
    assert jobs_for(None, 1000) == 1
    assert jobs_for(None, 10**12) == available_cores() == jobs_for(-1, 1)
    assert jobs_for(3, 1) == 3


def test_packed_bits_are_as_the_bools_they_hold(isa):
    x, y = normal((7, 64)) > 0, normal((50, 64), seed=1) > 0.5
    for metric in ("hamming", "jaccard"):
        wanted = cdist(x, y, metric)
        np.testing.assert_allclose(pairwise_distances(x, y, metric), wanted)
        packed = pairwise_distances(np.packbits(x, axis=1), np.packbits(y, axis=1), metric)
        np.testing.assert_allclose(packed, wanted)


@pytest.mark.parametrize("d", [9, 97])
@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_bools_in_fortran_order_are_as_in_c_order(metric, d):
    x, y = normal((7, d)) > 0, normal((50, d), seed=1) > 0.5
    given = pairwise_distances(np.asfortranarray(x), np.asfortranarray(y), metric)
    np.testing.assert_array_equal(given, pairwise_distances(x, y, metric))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    metric=st.sampled_from(METRICS),
    q=st.integers(0, 12),
    n=st.integers(0, 40),
    d=st.integers(1, 40),
)
def test_any_finite_matrix_equals_scipys(data, metric, q, n, d):
    elements = st.floats(-100, 100, allow_subnormal=False)
    x = data.draw(arrays.arrays(np.float64, (q, d), elements=elements))
    y = data.draw(arrays.arrays(np.float64, (n, d), elements=elements))
    wanted = cdist(x, y, metric)
    atol = 1e-9 if metric == "cosine" else 1e-12
    np.testing.assert_allclose(pairwise_distances(x, y, metric), wanted, rtol=1e-9, atol=atol)


def test_instruction_set_is_chosen_by_name():
    before = kernels.isa()
    assert before == kernels.available_isas()[-1] or before in kernels.available_isas()
    kernels.force_isa("scalar")
    assert kernels.isa() == "scalar"
    kernels.force_isa(None)
    assert kernels.isa() == kernels.available_isas()[-1]
    with pytest.raises(
        ValueError, match="no instruction set 'mmx' on this processor: one of scalar"
    ):
        kernels.force_isa("mmx")
    kernels.force_isa(before)
