"""The scikit-learn transformer: scikit-learn's own checks, and its own transformer beside ours."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neighbors import KNeighborsTransformer as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from raudo.integrations.scikit_learn import KNeighborsTransformer


def rows(n=80, d=16, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_scikit_learns_own_checks_pass(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # of a check for the array API
        warnings.simplefilter("ignore", FutureWarning)
        check_estimator(KNeighborsTransformer(mode=mode))


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_it_gives_what_scikit_learns_gives(mode, metric):
    x, y = rows(), rows(30, seed=1)
    ours = KNeighborsTransformer(mode=mode, n_neighbors=4, metric=metric)
    theirs = Theirs(mode=mode, n_neighbors=4, metric=metric, algorithm="brute")
    for a, b in (
        (ours.fit_transform(x), theirs.fit_transform(x)),
        (ours.transform(y), theirs.transform(y)),
        (ours.kneighbors_graph(), theirs.kneighbors_graph()),
    ):
        np.testing.assert_allclose(a.toarray(), b.toarray(), atol=1e-7)
    distances, ids = ours.kneighbors(y, 3)
    np.testing.assert_array_equal(ids, theirs.kneighbors(y, 3)[1])
    assert (np.diff(distances, axis=1) >= 0).all()


def test_it_feeds_a_classifier():
    x = rows()
    labels = (x[:, 0] > 0).astype(int)
    pipeline = make_pipeline(
        KNeighborsTransformer(n_neighbors=5), KNeighborsClassifier(5, metric="precomputed")
    )
    plain = KNeighborsClassifier(5, metric="euclidean").fit(x, labels)
    other = rows(40, seed=3)
    assert (pipeline.fit(x, labels).predict(other) == plain.predict(other)).all()


def test_equal_rows_never_count_themselves():
    x = np.repeat(rows(4), 5, axis=0)
    ids = KNeighborsTransformer(n_neighbors=3).fit(x).kneighbors(return_distance=False)
    assert ids.shape == (20, 3)
    assert not (ids == np.arange(20)[:, None]).any()


def test_float32_stays_float32():
    x = rows().astype(np.float32)
    assert KNeighborsTransformer().fit_transform(x).dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"mode": "x"}, "mode is"),
        ({"metric": "inner"}, "no distance"),
        ({"n_neighbors": 0}, "n_nei"),
    ],
)
def test_bad_settings_are_refused_by_fit(settings, wanted):
    with pytest.raises(ValueError, match=wanted):
        KNeighborsTransformer(**settings).fit(rows())


def test_more_neighbours_than_rows_is_an_error():
    fitted = KNeighborsTransformer(n_neighbors=5).fit(rows(5))
    with pytest.raises(ValueError, match="n_neighbors is 6"):
        fitted.transform(rows(2))
    with pytest.raises(ValueError, match="at most 4"):
        fitted.kneighbors()
    with pytest.raises(NotFittedError):
        KNeighborsTransformer().transform(rows(2))
