"""Sentences, language, top terms, readability and entropy against `tests/reference`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raudo._core import figures
from raudo.analysis import DocumentAnalyzer
from raudo.analysis.figures import reading_ease
from raudo.analysis.languages import detect, letter_classes
from raudo.analysis.words import WordCounts
from reference import figures_model as model

PIECES = (
    "Ab ble queue ed ted d e l y ' ’ . ! ? … 。 ！ ) ” \n \r é ß 字 İ _ 1 - 😀 \ud800 \u2028 \0"
)
texts = st.lists(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=40).map("".join),
    ),
    max_size=8,
)


@settings(max_examples=300)
@given(texts)
@example(['He said "Stop." Then he left.', "Pi is 3.14. Yes", "a\n \nb", "一。二！", "... ?!"])
@example(["table tables jumped hated need be the queue rhythm don't l'été ÉCOLE"])
def test_measures_agree_with_the_model(documents: list[str]) -> None:
    classes, _, shares = letter_classes()
    sentences, words, syllables, entropy, letters = figures.measure(
        documents, classes, len(shares), n_jobs=2
    )
    assert sentences.tolist() == [model.sentences(d) for d in documents]
    assert words.tolist() == [len(model.spoken_words(d)) for d in documents]
    assert syllables.tolist() == [
        sum(map(model.syllables, model.spoken_words(d))) for d in documents
    ]
    assert entropy.tolist() == pytest.approx([model.entropy(d) for d in documents])
    assert letters.sum(axis=1).tolist() == list(map(len, documents))
    ease = [math.nan if e is None else e for e in map(model.reading_ease, documents)]
    assert reading_ease(sentences, words, syllables).tolist() == pytest.approx(ease, nan_ok=True)


@settings(max_examples=50)
@given(texts)
def test_top_terms_are_the_heaviest_words(documents: list[str]) -> None:
    report = DocumentAnalyzer(figures=True, n_jobs=2).analyze(documents, k=0)
    for weights, row in zip(model.weights(documents), report.document_rows(), strict=True):
        found = [weights[term] for term in row["top_terms"]]
        assert found == pytest.approx(sorted(weights.values(), reverse=True)[:5])
        assert len(set(row["top_terms"])) == len(found)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "This is one of those that were not in the house when we came."),
        ("es", "Esta es una de las cosas que no estaban en la casa cuando llegamos."),
        ("fr", "C'est une des choses qui ne sont pas dans la maison pour nous."),
        ("de", "Das ist eine der Sachen, die nicht im Haus waren, als wir kamen."),
        ("it", "Questa è una delle cose che non sono nella casa per noi."),
        ("pt", "Esta é uma das coisas que não estão na casa quando nós chegamos."),
        ("nl", "Dit is een van de dingen die niet in het huis waren."),
        ("ru", "Это одна из тех вещей, которые не были в доме, когда мы пришли."),
        ("zh", "这是我们来的时候不在房子里的东西之一。"),
        ("ja", "これは私たちが来たときに家になかったものの一つです。"),
        ("ko", "이것은 우리가 왔을 때 집에 없던 것 중 하나입니다."),
        ("ar", "هذا واحد من الأشياء التي لم تكن في البيت عندما وصلنا."),
        ("und", "این یکی از چیزهایی است که در خانه نبود."),
        ("und", "Red apples, yellow bananas"),
        ("und", "def f(x): return x + 1"),
        ("und", "12 + 34 = 46"),
        ("und", ""),
    ],
)
def test_language_of_a_sentence(language: str, text: str) -> None:
    classes, _, shares = letter_classes()
    letters = figures.measure([text], classes, len(shares))[4]
    assert detect(WordCounts.of([text], 1), letters).tolist() == [language]


def test_figures_are_there_only_where_asked_for(tmp_path: Path) -> None:
    documents = ["The cat sat on the mat. It was a happy cat, and that is all.", "数字。文字。", ""]
    assert DocumentAnalyzer().analyze(documents).figures is None
    report = DocumentAnalyzer(figures=True, cache=tmp_path / "cache").analyze(documents)
    again = DocumentAnalyzer(figures=True, cache=tmp_path / "cache").analyze(documents)
    assert list(again.document_rows()) == list(report.document_rows())
    cat, china, empty = report.document_rows()
    assert cat["sentences"] == 2
    assert cat["language"] == "en"
    assert set(cat["top_terms"][:2]) == {"cat", "the"}
    assert cat["readability"] == round(206.835 - 1.015 * 15 / 2 - 84.6 * 16 / 15, 2)
    assert cat["entropy"] == round(model.entropy(documents[0]), 4)
    assert (china["sentences"], china["language"], china["readability"]) == (2, "zh", None)
    assert {name: empty[name] for name in ("sentences", "top_terms", "entropy")} == {
        "sentences": 0,
        "top_terms": [],
        "entropy": 0,
    }
    report.save(tmp_path)
    lines = (tmp_path / "documents.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(report.document_rows())


def test_figures_of_nothing_and_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    none = DocumentAnalyzer(figures=True).analyze([]).figures
    assert none is not None
    assert len(none.sentences) == 0
    documents = [f"Word number {i} of {i % 7}. Another one!" for i in range(50)]
    whole = list(DocumentAnalyzer(figures=True).analyze(documents).document_rows())
    monkeypatch.setattr("raudo.analysis.corpus.BATCH_DOCUMENTS", 7)
    assert list(DocumentAnalyzer(figures=True).analyze(documents).document_rows()) == whole


def test_a_text_that_is_not_defined_has_no_readability(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    documents = ["数字"] * 3000 + ["This is it, and that was all of the story."]
    report = DocumentAnalyzer(figures=True).analyze(documents, k=0)
    report.save(tmp_path, format="parquet")
    table = pyarrow.parquet.read_table(tmp_path / "documents.parquet")
    assert table["readability"].null_count == 3000
    assert table["readability"][3000].as_py() == report.figures.row(3000)["readability"]  # type: ignore[union-attr]


def test_an_index_has_no_texts_for_figures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="figures is True with an index"):
        DocumentAnalyzer(figures=True, index=tmp_path)


def test_every_letter_has_a_class() -> None:
    classes, names, shares = letter_classes()
    assert shares.shape == (int(classes.max()) + 1, len(names))
    assert not np.isnan(shares).any()
