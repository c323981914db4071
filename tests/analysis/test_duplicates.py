"""Groups of near-duplicates against all pairs in plain Python."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from raudo._core import text
from raudo.analysis import DocumentAnalyzer
from raudo.analysis.duplicates import RECALL, choose_bands, similar_sets, similar_vectors
from raudo.analysis.embeddings import unit_rows
from reference import text_model as model

sets = st.lists(st.sets(st.integers(0, 30), max_size=14), max_size=30)
thresholds = st.one_of(
    st.sampled_from([0.1, 0.3, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1.0]), st.floats(0.05, 1.0)
)


def packed(members: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    rows = [sorted(model.hash_bytes(bytes([each])) for each in mine) for mine in members]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return offsets, np.array([each for row in rows for each in row], np.uint64)


def groups_of(labels: np.ndarray) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for i, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(i)
    return [group for group in found.values() if len(group) > 1]


@settings(max_examples=150)
@given(sets, thresholds, st.sampled_from([1, 3]))
def test_exact_join_finds_what_all_pairs_find(
    members: list[set[int]], threshold: float, n_jobs: int
) -> None:
    found = similar_sets(*packed(members), threshold, n_jobs)
    assert found.method == "exact"
    assert groups_of(found.labels) == model.components(members, threshold)


@settings(max_examples=100)
@given(sets, thresholds)
def test_bands_never_group_what_is_not_similar(members: list[set[int]], threshold: float) -> None:
    found = similar_sets(*packed(members), threshold, 1, exact_visits=-1.0)
    assert found.method.startswith("minhash") or not any(members)
    allowed = {i: set(group) for group in model.components(members, threshold) for i in group}
    for group in groups_of(found.labels):
        assert set(group) <= allowed[group[0]]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_keep_their_recall(threshold: float) -> None:
    generator = random.Random(11)
    members, n_pairs = [], 400
    shared = 36
    extra = round(shared * (1 - threshold) / threshold)  # on one side: Jaccard is at the threshold
    for _ in range(n_pairs):
        words = [generator.getrandbits(64) for _ in range(shared + extra)]
        members += [sorted(words), sorted(words[:shared])]
    offsets = np.zeros(len(members) + 1, np.int64)
    np.cumsum([len(row) for row in members], out=offsets[1:])
    flat = np.array([each for row in members for each in row], np.uint64)
    at = shared / (shared + extra)
    found = similar_sets(offsets, flat, at, 2, exact_visits=-1.0)
    # expected 0.99 at least; four standard deviations of 400 draws below it
    assert len(groups_of(found.labels)) >= n_pairs * (RECALL - 0.02)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.9, 0.99, 1.0])
def test_bands_are_within_budget_and_recall(threshold: float) -> None:
    bands, rows = choose_bands(threshold)
    assert bands * rows <= 256 or rows == 1
    if threshold >= 0.05:
        assert 1 - (1 - threshold**rows) ** bands >= RECALL or rows == 1


def test_threads_do_not_show_in_the_groups() -> None:
    generator = random.Random(3)
    words = [f"w{i}" for i in range(300)]
    documents = [" ".join(generator.choices(words, k=12)) for _ in range(3000)]
    documents += [" ".join([*each.split()[:-1], "other"]) for each in documents[::3]]
    offsets, flat = text.word_sets(documents)
    one = similar_sets(offsets, flat, 0.75, 1)
    many = similar_sets(offsets, flat, 0.75, 4)
    assert (one.labels == many.labels).all()
    assert len(groups_of(one.labels)) > 500


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), max_size=40), thresholds)
def test_cosine_components_agree_with_all_pairs(rows: list[list[int]], threshold: float) -> None:
    vectors = unit_rows(np.array(rows, np.float32).reshape(-1, 3))
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    if len(rows) and (np.abs(cosines - threshold) < 1e-5).any():
        return  # within rounding of the threshold
    root = list(range(len(rows)))
    for i in range(len(rows)):
        for j in range(i):
            if cosines[i, j] >= threshold and vectors[i].any():
                keep, drop = sorted((root[i], root[j]))
                root = [keep if each == drop else each for each in root]
    assert similar_vectors(vectors, threshold, 1).labels.tolist() == root


def test_many_equal_vectors_are_one_group() -> None:
    vectors = unit_rows(np.ones((300, 8), np.float32) + np.eye(300, 8, dtype=np.float32) * 1e-3)
    assert groups_of(similar_vectors(vectors, 0.99, 1).labels) == [list(range(300))]


@pytest.mark.parametrize("most", [6, 60])
def test_vectors_are_joined_by_pairs_and_by_lists_alike(most: int) -> None:
    """Of few numbers and of many; families larger than what is asked for at first."""
    generator = np.random.default_rng(most)
    made = np.zeros((900, 60), np.float32)
    for row in made:
        places = generator.permutation(60)[:most]
        row[places] = generator.standard_normal(most)
    made[:60] = made[0] + 0.01 * (made[0] != 0) * generator.standard_normal((60, 60))
    made[100:110] = made[100]
    vectors = unit_rows(made)
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    wanted = groups_of(connected_components(csr_array(cosines >= 0.95))[1])
    assert len(wanted) > 1
    for exact_limit, method in ((10_000, "exact"), (0, "in lists")):
        found = similar_vectors(vectors, 0.95, 2, exact_limit=exact_limit)
        assert found.method.startswith(method)
        assert groups_of(found.labels) == wanted


def test_shingles_see_the_order_of_words() -> None:
    documents = {"a": "the cat sat on the mat today", "b": "mat the on sat cat the today"}
    analyzer = DocumentAnalyzer(n_jobs=1)
    analyzer.analyze(documents)
    assert analyzer.find_duplicates(0.8) == [["a", "b"]]
    assert analyzer.find_duplicates(0.8, shingle=2) == []


@given(st.lists(st.text(alphabet="ab cd", max_size=20), max_size=12), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_find_duplicates_is_the_jaccard_of_words(documents: list[str], shingle: int) -> None:
    analyzer = DocumentAnalyzer(n_jobs=1)
    analyzer.analyze(documents, k=0)
    members = [
        set(model.shingles(model.tokens(each, text.WORD_SEED), shingle)) for each in documents
    ]
    expected = model.components(members, 0.6)
    assert analyzer.find_duplicates(0.6, shingle=shingle) == expected


@pytest.mark.parametrize("exact_visits", [np.inf, -1.0])
def test_templates_are_one_group_in_linear_time(exact_visits: float) -> None:
    template = " ".join(f"word{i}" for i in range(40))
    documents = [f"{template} number{i}" for i in range(4000)]
    documents += [f"apart{i} and alone{i}" for i in range(1000)]
    found = similar_sets(*text.word_sets(documents), 0.9, 2, exact_visits=exact_visits)
    assert (found.labels[:4000] == 0).all()
    assert (found.labels[4000:] == np.arange(4000, 5000)).all()


def test_bucket_chains_join_what_later_members_link() -> None:
    # a and c are alike only through b, which comes last in the order of size
    a, c = {*range(20)}, {*range(4, 24)}
    members = [a, c, {*range(24)}]
    found = similar_sets(*packed(members), 0.8, 1, exact_visits=-1.0)
    assert groups_of(found.labels) == model.components(members, 0.8) == [[0, 1, 2]]
