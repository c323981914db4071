"""`DocumentAnalyzer` as callers use it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from raudo.analysis import AnalysisReport, Document, DocumentAnalyzer, models
from raudo.analysis import corpus as corpus_module
from raudo.errors import MissingExtra

TEXTS = [
    "The quick brown fox jumps over the lazy dog near the river bank today",
    "the quick brown fox jumps over the lazy dog near the river bank TODAY!",
    "Compiled caches make Python services fast",
    "",
    "Python services are fast with compiled caches",
    "... --- ...",
]


def same(a: AnalysisReport, b: AnalysisReport) -> None:
    assert a.ids == b.ids
    assert a.groups == b.groups
    assert (a.group_of == b.group_of).all()
    assert (a.neighbours.ids == b.neighbours.ids).all()
    assert np.array_equal(a.neighbours.similarities, b.neighbours.similarities, equal_nan=True)
    assert list(a.document_rows()) == list(b.document_rows())


def test_groups_and_neighbours_of_a_small_corpus() -> None:
    analyzer = DocumentAnalyzer()
    report = analyzer.analyze(TEXTS, threshold=0.9, k=2)
    assert [group.members for group in report.groups] == [(0, 1)]
    assert report.groups[0].representative == 0
    assert report.groups[0].similarities == (1.0, 1.0)
    assert report.group_of.tolist() == [0, 0, -1, -1, -1, -1]
    assert report.similar(2)[0].id == 4
    assert report.similar(3) == []
    assert report.similar(5) == []
    rows = list(report.document_rows())
    assert rows[0]["similar"][0] == {"id": 1, "similarity": 1.0}
    assert [row["group"] for row in rows] == [0, 0, None, None, None, None]
    assert analyzer.find_duplicates(0.9) == [[0, 1]]
    assert analyzer.find_duplicates(0.9, measure="cosine") == [[0, 1]]
    assert analyzer.similar("a fox and a dog", k=1)[0].id in (0, 1)
    assert analyzer.similar("zzz", k=3) is not None
    assert analyzer.similar("?!", k=3) == []


@pytest.mark.parametrize(
    ("documents", "ids"),
    [
        (["a b", "c"], (0, 1)),
        (iter(["a b", "c"]), (0, 1)),
        ([("x", "a b"), (7, "c")], ("x", 7)),
        ({"x": "a b", "y": "c"}, ("x", "y")),
        ([{"id": "x", "text": "a b", "path": "p"}, {"text": "c"}], ("x", 1)),
        ([Document("x", "a b"), Document("y", "c")], ("x", "y")),
        (
            [SimpleNamespace(id="x", text="a b"), SimpleNamespace(text="c", path=Path("p"))],
            ("x", 1),
        ),
    ],
)
def test_documents_come_in_many_shapes(documents: Any, ids: tuple[Any, ...]) -> None:
    report = DocumentAnalyzer().analyze(documents)
    assert report.ids == ids
    assert report.words.tolist() == [2, 1]


@pytest.mark.parametrize("texts", [[], [""], ["one document"], ["", ""], ["a", ""]])
def test_tiny_corpora_work(texts: list[str]) -> None:
    analyzer = DocumentAnalyzer()
    for measure in ("jaccard", "cosine"):
        report = analyzer.analyze(texts, measure=measure)
        assert len(report) == len(texts)
        assert report.groups == ()
        assert analyzer.find_duplicates(0.5) == []
        assert json.loads(json.dumps(report.summary()))["documents"] == len(texts)
        assert "<svg" in report.to_html() or not texts
    assert len(analyzer.similar("one", 3)) <= len(texts)


def test_jobs_and_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        f"number {i % 37} of a family of {i % 5} Texts äöü {'x' * (i % 3)}" for i in range(400)
    ]
    whole = DocumentAnalyzer(n_jobs=1).analyze(texts, threshold=0.7)
    monkeypatch.setattr(corpus_module, "BATCH_DOCUMENTS", 7)
    same(whole, DocumentAnalyzer(n_jobs=4, keep_texts=False).analyze(texts, threshold=0.7))


def test_large_corpora_are_searched_in_lists() -> None:
    texts = [f"topic{i // 4} detail{i // 4} variant{i % 4} common words here" for i in range(200)]
    exact = DocumentAnalyzer().analyze(texts, k=3)
    quick = DocumentAnalyzer(exact_limit=10, n_jobs=2).analyze(texts, k=3)
    assert exact.neighbours.method == "exact"
    assert quick.neighbours.method.startswith("in lists")
    assert any("exact_limit is 10" in note for note in quick.notes)
    for i in range(200):
        family = set(range(i // 4 * 4, i // 4 * 4 + 4)) - {i}
        assert set(exact.neighbours.ids[i].tolist()) == family
    same(quick, DocumentAnalyzer(exact_limit=10, n_jobs=1).analyze(texts, k=3))


@pytest.mark.parametrize("kind", ["folder", "dict", "Cache"])
def test_a_cached_run_gives_the_same(kind: str, tmp_path: Path) -> None:
    def cache() -> Any:
        if kind == "folder":
            return str(tmp_path / "cache")
        return kept

    if kind == "Cache":
        import raudo

        kept: Any = raudo.Cache(1000)
    else:
        kept = {}
    plain = DocumentAnalyzer().analyze(TEXTS)
    first = DocumentAnalyzer(cache=cache()).analyze(TEXTS)
    second = DocumentAnalyzer(cache=cache()).analyze(TEXTS)
    longer = DocumentAnalyzer(cache=cache()).analyze(["new words", *TEXTS, "quick fox"])
    words = [next(s for s in r.stages if s.name == "words") for r in (first, second, longer)]
    assert [(stage.hits, stage.misses) for stage in words] == [(0, 6), (6, 0), (6, 2)]
    same(plain, first)
    same(plain, second)
    same(longer, DocumentAnalyzer().analyze(["new words", *TEXTS, "quick fox"]))


def test_a_damaged_cache_is_a_miss_and_said(tmp_path: Path) -> None:
    DocumentAnalyzer(cache=tmp_path).analyze(TEXTS)
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    report = DocumentAnalyzer(cache=tmp_path).analyze(TEXTS)
    same(report, DocumentAnalyzer().analyze(TEXTS))
    assert "cache: 1 damaged entries were dropped" in report.notes
    assert next(s for s in report.stages if s.name == "words").hits == 0
    assert next(
        s for s in DocumentAnalyzer(cache=tmp_path).analyze(TEXTS).stages if s.name == "words"
    ).hits == len(TEXTS)


class Model:
    """Counts what it is asked to embed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        return [[len(text) + 1.0, text.count("e"), 1.0] for text in texts]


def test_a_model_is_asked_once_for_each_text(tmp_path: Path) -> None:
    model = Model()
    analyzer = DocumentAnalyzer(model, cache=tmp_path, embedder_name="lengths")
    first = analyzer.analyze(TEXTS, measure="cosine", threshold=0.99999)
    assert model.asked == TEXTS
    again = Model()
    second = DocumentAnalyzer(again, cache=tmp_path, embedder_name="lengths").analyze(
        [*TEXTS, "new"], measure="cosine", threshold=0.99999
    )
    assert again.asked == ["new"]
    same(first, DocumentAnalyzer(Model()).analyze(TEXTS, measure="cosine", threshold=0.99999))
    assert len(second) == len(TEXTS) + 1
    other = Model()
    DocumentAnalyzer(other, cache=tmp_path, embedder_name="other").analyze(TEXTS)
    assert other.asked == TEXTS


def test_an_unnamed_embedder_is_not_cached(tmp_path: Path) -> None:
    report = DocumentAnalyzer(lambda texts: np.ones((len(texts), 4)), cache=tmp_path).analyze(TEXTS)
    assert any("embedder_name" in note for note in report.notes)
    assert not list(tmp_path.glob("vectors*"))
    assert len(report.similar(0)) == 5


def test_a_cache_of_other_dimensions_is_named(tmp_path: Path) -> None:
    def make(width: int) -> DocumentAnalyzer:
        return DocumentAnalyzer(
            lambda texts: np.ones((len(texts), width)), cache=tmp_path, embedder_name="m"
        )

    make(4).analyze(["a"])
    with pytest.raises(ValueError, match="returned 5 dimensions, the cache holds 4"):
        make(5).analyze(["a", "b"])


@pytest.mark.parametrize(
    ("returned", "wrong"),
    [
        (np.ones(3), r"returned shape \(3,\) for 2 texts"),
        (np.ones((3, 2)), r"returned shape \(3, 2\) for 2 texts"),
        (np.full((2, 2), np.nan), "not finite"),
    ],
)
def test_an_embedder_that_misbehaves_is_named(returned: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        DocumentAnalyzer(lambda texts: returned).analyze(["a", "b"])


def test_later_questions_are_answered_as_the_first_on_the_threads_own_time() -> None:
    threads = set()

    def embed(texts: list[str]) -> Any:
        threads.add(threading.get_ident())
        return [[len(text), text.count("o"), 1] for text in texts]

    analyzer = DocumentAnalyzer(embed)
    for texts in (TEXTS, TEXTS[::-1]):
        analyzer.analyze(texts)
        threads.clear()
        answers = [analyzer.similar("hello you", 3) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert threads == {threading.get_ident()}


def test_a_model_by_name_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match="some-model"):
        DocumentAnalyzer("some-model").analyze(["a"])


def test_a_model_by_name_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class SentenceTransformer(Model):
        def __init__(self, name: str) -> None:
            super().__init__()
            loaded.append(name)

    library = SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", library)
    monkeypatch.setattr(models, "_loaded", {})
    analyzer = DocumentAnalyzer("tiny")
    analyzer.analyze(TEXTS)
    analyzer.analyze(TEXTS)
    analyzer.similar("hello", 1)
    DocumentAnalyzer("tiny").analyze(TEXTS)
    assert loaded == ["tiny"]


@pytest.mark.parametrize(
    ("call", "error", "wrong"),
    [
        (lambda a: a.analyze("text"), TypeError, "documents is one str"),
        (lambda a: a.analyze([3]), TypeError, r"documents\[0\] is int"),
        (lambda a: a.analyze([("a", 3)]), TypeError, "text of int"),
        (
            lambda a: a.analyze([("a", "x"), ("a", "y")]),
            ValueError,
            "two documents have the id 'a'",
        ),
        (lambda a: a.analyze([], threshold=0), ValueError, "threshold is 0"),
        (lambda a: a.analyze([], threshold="1"), TypeError, "threshold is str"),
        (lambda a: a.analyze([], measure="x"), ValueError, "measure is 'x'"),
        (lambda a: a.analyze([], k=-1), ValueError, "k is -1"),
        (lambda a: a.find_duplicates(shingle=0), ValueError, "shingle is 0"),
        (lambda a: a.find_duplicates(), RuntimeError, "nothing was analysed"),
        (lambda a: a.similar("x"), RuntimeError, "nothing was analysed"),
        (lambda a: a.similar(3), TypeError, "query is int"),
        (lambda a: DocumentAnalyzer(n_jobs=0), ValueError, "n_jobs is 0"),
        (lambda a: DocumentAnalyzer(dimensions=1.5), TypeError, "dimensions is float"),
        (lambda a: DocumentAnalyzer(3), TypeError, "embedder is int"),
    ],
)
def test_wrong_arguments_are_named(call: Any, error: type[Exception], wrong: str) -> None:
    with pytest.raises(error, match=wrong):
        call(DocumentAnalyzer())


def test_shingles_need_the_texts() -> None:
    analyzer = DocumentAnalyzer(keep_texts=False)
    analyzer.analyze(TEXTS)
    assert analyzer.find_duplicates() == [[0, 1]]
    with pytest.raises(RuntimeError, match="keep_texts=True"):
        analyzer.find_duplicates(shingle=2)


async def test_async_gives_the_same_and_leaves_the_loop_free() -> None:
    analyzer = DocumentAnalyzer()
    report, _ = await asyncio.gather(analyzer.analyze_async(TEXTS), asyncio.sleep(0))
    same(report, analyzer.analyze(TEXTS))


async def test_cancelling_ends_the_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "BATCH_DOCUMENTS", 1)
    started, go_on, taken = threading.Event(), threading.Event(), []

    def documents() -> Iterator[str]:
        for i in range(1000):
            taken.append(i)
            if i == 1:
                started.set()
                go_on.wait(30)
            yield f"document {i}"

    task = asyncio.create_task(DocumentAnalyzer().analyze_async(documents()))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert len(taken) < 1000


def test_results_are_saved_whole(tmp_path: Path) -> None:
    report = DocumentAnalyzer().analyze({f"d{i}": text for i, text in enumerate(TEXTS)}, k=2)
    for format_ in ("jsonl", "csv"):
        paths = report.save(tmp_path / format_, format=format_)
        assert [path.name for path in paths] == [
            f"documents.{format_}",
            f"groups.{format_}",
            "summary.json",
        ]
        assert sorted(p.name for p in (tmp_path / format_).iterdir()) == sorted(
            p.name for p in paths
        )
    lines = (tmp_path / "jsonl" / "documents.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == [f"d{i}" for i in range(len(TEXTS))]
    assert all({"id", "path", "group", "similar"} <= row.keys() for row in rows)
    (group,) = map(json.loads, (tmp_path / "jsonl" / "groups.jsonl").read_text().splitlines())
    assert group["representative"] == "d0"
    assert group["members"] == ["d0", "d1"]
    assert json.loads((tmp_path / "jsonl" / "summary.json").read_text())["groups"] == 1
    with pytest.raises(ValueError, match="format is 'xml'"):
        report.save(tmp_path, format="xml")


def test_page_escapes_names_and_loads_nothing() -> None:
    evil = "<script>alert(1)</script>&\"'\ud800.txt"
    report = DocumentAnalyzer().analyze([(evil, "same words"), ("b", "same words")])
    page = report.to_html(title=evil)
    assert page.count("<script") == 1  # its own
    assert "&lt;script&gt;" in page
    for outside in ("http:", "https:", "src=", "@import", "url("):
        assert outside not in page
    page.encode("utf-8")


def test_similar_by_number_and_by_id():
    report = DocumentAnalyzer().analyze({"x": "one two three", "y": "one two four"})
    assert report.similar("x") == report.similar(0)
    with pytest.raises(KeyError, match="'z'"):
        report.similar("z")
    with pytest.raises(IndexError, match="wanted 0 to 1"):
        report.similar(2)
