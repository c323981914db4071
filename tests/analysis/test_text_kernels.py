"""The compiled text kernels against the model in `tests/reference`."""

from __future__ import annotations

import itertools
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudo._core import likeness, text
from reference import text_model as model

# Letters whose lower() changes length, depends on neighbours or leaves ASCII; marks; surrogates.
ODD = "İıΣσςẞßKÅǅΐΑΣ Σ_'’-.\u0307\u0345\u00ad\ud800\udfff\U00010400\U0001d7ff٣²½ⅷǄéÉΩ中文字\0\x1c\n"
texts = st.lists(
    st.one_of(
        st.text(),
        st.text(alphabet=st.characters(max_codepoint=127)),
        st.text(alphabet=st.characters(max_codepoint=255)),
        st.text(alphabet=st.characters(exclude_categories=())),
        st.text(alphabet=st.sampled_from(ODD)),
    ),
    max_size=12,
)


def rows(offsets: np.ndarray, values: np.ndarray) -> list[list[int]]:
    return [values[lo:hi].tolist() for lo, hi in itertools.pairwise(offsets)]


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1))
def test_hash_agrees_with_model(data: bytes, seed: int) -> None:
    assert text.hash_bytes(data, seed) == model.hash_bytes(data, seed)


@settings(max_examples=200)
@given(texts, st.sampled_from([0, 1, text.WORD_SEED, 2**64 - 1]))
def test_tokens_agree_with_python_re(documents: list[str], seed: int) -> None:
    assert rows(*text.tokenise(documents, seed=seed)) == [model.tokens(d, seed) for d in documents]


def test_every_code_point_is_classified_as_python_does() -> None:
    everything = [chr(c) for c in range(sys.maxunicode + 1)]
    chunks = [".".join(everything[at : at + 4096]) for at in range(0, len(everything), 4096)]
    offsets, found = text.tokenise(chunks)
    for chunk, hashes in zip(chunks, rows(offsets, found), strict=True):
        assert len(hashes) == len(model.words(chunk))
    sample = "".join(everything[::7])
    assert rows(*text.tokenise([sample]))[0] == model.tokens(sample, text.WORD_SEED)


@pytest.mark.parametrize(
    "length", [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 9000]
)
@pytest.mark.parametrize("lead", [0, 1, 15, 63, 64, 4090])
def test_words_across_blocks_and_windows(length: int, lead: int) -> None:
    document = " " * lead + "Ab9_" * (length // 4) + "x" * (length % 4) + " tail" * 900
    wide = " " * lead + "字" * length
    for variant in (document, "é " + document, "中 " + document, "𝔸 " + document, wide, "𝔸" + wide):
        assert rows(*text.tokenise([variant]))[0] == model.tokens(variant, text.WORD_SEED)


@given(texts)
def test_counts_are_sorted_and_complete(documents: list[str]) -> None:
    offsets, words, counts, lengths = text.count_words(documents)
    for document, mine, times, length in zip(
        documents, rows(offsets, words), rows(offsets, counts), lengths, strict=True
    ):
        expected = model.tokens(document, text.WORD_SEED)
        assert length == len(expected)
        assert mine == sorted(set(expected))
        assert times == [expected.count(word) for word in mine]


@given(texts, st.integers(1, 4))
def test_shingle_sets_agree_with_model(documents: list[str], width: int) -> None:
    expected = [
        sorted(set(model.shingles(model.tokens(d, text.WORD_SEED), width))) for d in documents
    ]
    assert rows(*text.word_sets(documents, shingle=width)) == expected


def test_long_documents_sort_right() -> None:
    document = " ".join(f"w{i % 7919} common" for i in range(30_000))
    offsets, words, counts, lengths = text.count_words([document])
    assert lengths.tolist() == [60_000]
    assert int(offsets[-1]) == 7920
    assert (np.diff(words.astype(np.float64)) > 0).all()
    assert counts.max() == 30_000
    assert counts.sum() == 60_000


@settings(max_examples=50)
@given(texts, st.sampled_from([1, 3, 16, 256]))
def test_embeddings_agree_with_model(documents: list[str], dimensions: int) -> None:
    offsets, words, counts, _ = text.count_words(documents)
    terms, n_terms = text.vocabulary(words)
    frequency = np.bincount(terms, minlength=n_terms)
    idf = np.log((1 + len(documents)) / (1 + frequency)) + 1
    vectors = text.embed(offsets, words, counts, terms, idf, dimensions)
    expected = model.embed([model.tokens(d, text.WORD_SEED) for d in documents], dimensions)
    assert vectors.shape == (len(documents), dimensions)
    assert np.allclose(vectors, np.reshape(expected, vectors.shape), atol=1e-6)


def test_vocabulary_numbers_by_first_appearance_and_grows() -> None:
    generator = np.random.default_rng(5)
    words = generator.integers(0, 2**64, 40_000, dtype=np.uint64)
    repeated = np.concatenate([words, words[::-1], np.zeros(2, np.uint64)])
    terms, n_terms = text.vocabulary(repeated)
    assert n_terms == 40_001
    assert terms[:40_000].tolist() == list(range(40_000))
    assert terms[40_000:].tolist() == [*range(39_999, -1, -1), 40_000, 40_000]


def test_terms_are_listed_with_how_often_they_are_there() -> None:
    words = np.random.default_rng(6).integers(0, 5_000, 60_000).astype(np.uint64) * np.uint64(2**50)
    terms, distinct, frequency = text.count_terms(words)
    assert (terms == text.vocabulary(words)[0]).all()
    assert (distinct[terms] == words).all()
    assert (frequency == np.bincount(terms)).all()
    assert [len(each) for each in text.count_terms(words[:0])] == [0, 0, 0]


@given(st.lists(st.integers(0, 60)), st.lists(st.integers(0, 60), unique=True))
def test_words_are_found_among_others(words: list[int], wanted: list[int]) -> None:
    spread = 0x9E3779B97F4A7C15
    at, which = text.find_among(
        *(np.array([each * spread % 2**64 for each in side], np.uint64) for side in (words, wanted))
    )
    expected = [(i, wanted.index(word)) for i, word in enumerate(words) if word in wanted]
    assert list(zip(at.tolist(), which.tolist(), strict=True)) == expected


@settings(max_examples=50)
@given(texts, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9))
def test_signatures_agree_with_model(documents: list[str], seeds: list[int]) -> None:
    offsets, words = text.word_sets(documents)
    signatures = likeness.minhash(offsets, words, np.array(seeds, np.uint32))
    assert signatures.tolist() == [model.minhash(row, seeds) for row in rows(offsets, words)]


@given(texts)
def test_pairs_have_the_exact_jaccard(documents: list[str]) -> None:
    offsets, words = text.word_sets(documents)
    n = len(documents)
    left, right = (side.ravel().astype(np.int64) for side in np.mgrid[0:n, 0:n])
    sets = [set(row) for row in rows(offsets, words)]
    expected = [model.jaccard(sets[i], sets[j]) for i, j in zip(left, right, strict=True)]
    assert likeness.jaccard_pairs(offsets, words, left, right).tolist() == expected


def test_content_keys_tell_texts_apart() -> None:
    documents = ["", "\0", "a", "aa", "é", "中", "𝔸", "a" * 16, "a" * 17, "a\0", "\0a"]
    keys = {tuple(key) for key in text.content_keys(documents).tolist()}
    assert len(keys) == len(documents)
    plain = model.hash_bytes(b"a" * 17, 1), model.hash_bytes(b"a" * 17, 1 + 0x9E3779B97F4A7C15)
    assert tuple(text.content_keys(["a" * 17])[0].tolist()) == plain
    assert (text.content_keys(["x中"]) == text.content_keys([("x中y")[:-1]])).all()


@given(texts, st.lists(st.integers(0, 11), max_size=20))
def test_take_rows_gathers(documents: list[str], wanted: list[int]) -> None:
    picked = [each for each in wanted if each < len(documents)]
    offsets, words = text.tokenise(documents)
    taken = text.take_rows(offsets, words, np.array(picked, np.int64))
    assert rows(*taken) == [rows(offsets, words)[each] for each in picked]


def test_threads_do_not_show_in_the_result() -> None:
    documents = [f"Word{i} " * (i % 50) + "ΑΣ İ é" * (i % 3) for i in range(40_000)]
    one, many = text.count_words(documents, n_jobs=1), text.count_words(documents, n_jobs=4)
    for mine, theirs in zip(one, many, strict=True):
        assert (mine == theirs).all()


def test_parallel_calls_share_nothing() -> None:
    documents = ["some words, ΑΣ"] * 500
    expected = rows(*text.tokenise(documents))
    failures: list[int] = []

    def work() -> None:
        for _ in range(20):
            if rows(*text.tokenise(documents, n_jobs=2)) != expected:
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


@pytest.mark.parametrize("bad", [[b"bytes"], ["fine", None], [1]])
def test_only_str_is_taken(bad: list[object]) -> None:
    with pytest.raises(TypeError, match=r"texts\[\d\] is .*, wanted str"):
        text.tokenise(bad)  # type: ignore[arg-type]


def test_a_str_of_ones_own_is_read_as_what_it_is() -> None:
    class Shouting(str):
        __slots__ = ()

        def lower(self) -> str:
            return "else"

    assert rows(*text.tokenise([Shouting("ΑΣ İ")])) == rows(*text.tokenise(["ΑΣ İ"]))


def test_many_pieces_in_lanes_that_grow() -> None:
    documents = [f"w{i}" for i in range(9_000)] + [f"a{i} b c d e f g" * 9 for i in range(9_000)]
    expected = [model.tokens(each, text.WORD_SEED) for each in documents]
    assert rows(*text.tokenise(tuple(documents))) == expected
    assert rows(*text.tokenise(documents, n_jobs=3)) == expected


def test_nothing_in_nothing_out() -> None:
    offsets, words, counts, lengths = text.count_words([])
    assert offsets.tolist() == [0]
    assert not len(words)
    assert not len(counts)
    assert not len(lengths)
    assert text.content_keys([]).shape == (0, 2)
