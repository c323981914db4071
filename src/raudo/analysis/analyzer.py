"""The room's front: read documents once, then ask for duplicates and for what is similar."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness, text
from raudo._process import peak_bytes
from raudo.analysis.corpus import Corpus, read_corpus
from raudo.analysis.documents import Documents
from raudo.analysis.duplicates import Components, similar_sets, similar_vectors
from raudo.analysis.embeddings import Embedder, HashingEmbedding, TextEmbedder, row_products
from raudo.analysis.figures import FigureColumns
from raudo.analysis.index import Index
from raudo.analysis.neighbours import EXACT_LIMIT, Neighbours, find_neighbours
from raudo.analysis.picture import sample_of
from raudo.analysis.report import AnalysisReport, Group, Similar
from raudo.analysis.stages import Stages
from raudo.analysis.store import Store, open_store

if TYPE_CHECKING:
    from raudo.concurrency import ParallelExecutor
    from raudo.similarity import FlatIndex, Matches

__all__ = ["DocumentAnalyzer", "Measure"]

Measure = Literal["jaccard", "cosine"]
_MEASURES = ("jaccard", "cosine")


class _StopError(Exception):
    """Ends an analysis that nobody waits for any more."""


class DocumentAnalyzer:
    """Finds near-duplicates and similar documents.

    Args:
        embedder: `"hashing"` (TF-IDF hashed to `dimensions`), a callable from a list of texts to an
            (n, d) array, an object with `.encode` that does the same (a sentence-transformers
            model), or the name of such a model. It is loaded once, at first use.
        cache: What was learned of documents in earlier runs: a folder, a mapping, or a raudo cache;
            None for none. Results are the same with and without.
        n_jobs: Threads; all cores that the process may use when None.
        dimensions: Of the hashing TF-IDF.
        embedder_name: What vectors of an embedder of your own are cached under. Without one they
            are not cached, since nothing else tells one model's vectors from another's.
        index: A folder that keeps the whole analysis: the next one reads the files that changed,
            and of groups and neighbours does what follows from that. It has no texts, so shingles
            are of one word. Ids must be str or int.
        keep_texts: Hold the texts after `analyze`, which `find_duplicates` needs for shingles of
            more than one word. Without it memory does not grow with their length.
        exact_limit: Up to so many documents, and ten times as many where most numbers of a vector
            are zero, the similar ones are found by comparing all pairs.
        memory_bytes: Bound on what reading holds: texts in flight, word counts and a model's
            vectors. Beyond it they are mapped from a file without a name in the temporary folder.
        figures: Tell of each document its sentences, language, top terms, readability and entropy
            (`report.figures`). Not with `index`, which has no texts.
        progress: Show progress on standard error.
        backend: Where to compute what is worth it, if not here: a `ParallelExecutor`, or what one
            takes ("dask", a Dask `Client`). That is the vectors of an embedder, batch by batch, and
            the comparison of all pairs of dense ones; words are counted and joined here, which
            takes less than sending texts. Not with `index`.

    An analyzer may be used by many threads; questions are about the analysis that ended last.
    """

    def __init__(
        self,
        embedder: Embedder = "hashing",
        cache: Any = None,
        n_jobs: int | None = None,
        *,
        dimensions: int = 256,
        embedder_name: str | None = None,
        index: str | os.PathLike[str] | None = None,
        keep_texts: bool = True,
        exact_limit: int = EXACT_LIMIT,
        memory_bytes: int | None = None,
        figures: bool = False,
        progress: bool = False,
        backend: object = None,
    ) -> None:
        self._embedder = None if embedder == "hashing" else TextEmbedder(embedder, embedder_name)
        self._store: Store | None = open_store(cache)
        self._n_jobs = _jobs(n_jobs)
        self._dimensions = _whole("dimensions", dimensions, 1)
        self._exact_limit = _whole("exact_limit", exact_limit, 0)
        self._index = None if index is None else Path(index)
        self._keep_texts = keep_texts
        if figures and index is not None:
            raise ValueError("figures is True with an index, wanted one: an index keeps no texts")
        self._figures = figures
        self._memory_bytes = (
            None if memory_bytes is None else _whole("memory_bytes", memory_bytes, 1 << 20)
        )
        self._progress = progress
        if backend is not None and index is not None:
            raise ValueError(f"backend is {backend!r} with an index, one of the two is wanted")
        self._backend = backend
        self._corpus: Corpus | None = None
        self._asked: Corpus | None = None
        self._questions: tuple[Corpus, FlatIndex] | None = None

    def analyze(
        self,
        documents: Documents,
        *,
        threshold: float = 0.9,
        measure: Measure = "jaccard",
        shingle: int = 1,
        k: int = 10,
    ) -> AnalysisReport:
        """Read the documents, group near-duplicates, and find the k most similar of each.

        Documents are texts, `(id, text)` pairs, a mapping, or records with `text`, `id` and `path`;
        ids must differ. They may be empty, or none. `threshold`, `measure` and `shingle` are those
        of `find_duplicates`.
        """
        return self._analyze(documents, threshold, measure, shingle, k, lambda: None)

    async def analyze_async(
        self,
        documents: Documents,
        *,
        threshold: float = 0.9,
        measure: Measure = "jaccard",
        shingle: int = 1,
        k: int = 10,
    ) -> AnalysisReport:
        """Do the same in a thread, so that the event loop goes on. Cancelling ends it between
        batches.
        """
        import asyncio  # here, as the executor below: they are half of what an import would take

        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise _StopError

        try:
            return await asyncio.to_thread(
                self._analyze, documents, threshold, measure, shingle, k, check
            )
        except asyncio.CancelledError:
            stop.set()
            raise

    def _analyze(
        self,
        documents: Documents,
        threshold: float,
        measure: Measure,
        shingle: int,
        k: int,
        check: Any,
    ) -> AnalysisReport:
        embedder = self._embedder
        if self._backend is None:
            return self._analyze_on(
                None, embedder, documents, threshold, measure, shingle, k, check
            )
        from raudo.concurrency.parallel_executor import executor_on

        with executor_on(self._backend) as executor:
            if embedder is not None:
                embedder = embedder.on(executor)
            return self._analyze_on(
                executor, embedder, documents, threshold, measure, shingle, k, check
            )

    def _analyze_on(
        self,
        executor: ParallelExecutor | None,
        embedder: TextEmbedder | None,
        documents: Documents,
        threshold: float,
        measure: Measure,
        shingle: int,
        k: int,
        check: Any,
    ) -> AnalysisReport:
        _check_duplicates(threshold, measure, shingle)
        _whole("k", k, 0)
        stages = Stages(self._progress)
        notes: list[str] = []
        if self._store is not None and self._embedder is not None and self._embedder.kind is None:
            notes.append("embeddings were not cached: the embedder has no embedder_name")
        index = None if self._index is None else self._opened(self._index, shingle, k)
        figures = FigureColumns(self._n_jobs) if self._figures else None
        if index is not None:
            corpus = index.read(
                documents,
                self._embedder,
                self._store,
                stages,
                dimensions=self._dimensions,
                n_jobs=self._n_jobs,
                check=check,
                memory_bytes=self._memory_bytes,
            )
        else:
            corpus = read_corpus(
                documents,
                embedder,
                self._store,
                stages,
                n_jobs=self._n_jobs,
                keep_texts=self._keep_texts or shingle > 1,
                check=check,
                memory_bytes=self._memory_bytes,
                figures=figures,
            )
        if self._embedder is None and index is None:
            with stages.timed("embed", len(corpus)):
                corpus.hashing, corpus.vectors = HashingEmbedding.of(
                    corpus.words, self._dimensions, self._n_jobs
                )
        told = None
        if figures is not None:
            with stages.timed("figures"):
                told = figures.finish(corpus.words)
        check()
        with stages.shown("duplicates", len(corpus)) as tick:

            def all_components() -> Components:
                return self._components(corpus, threshold, measure, shingle, tick, executor)

            found = (
                index.components(threshold, measure, self._n_jobs, all_components)
                if index is not None
                else all_components()
            )

            def alike(
                first: NDArray[np.int64], each: NDArray[np.int64]
            ) -> NDArray[np.floating[Any]]:
                if index is not None:
                    return index.similarities(first, each)
                return self._similarities(corpus, measure, shingle, first, each)

            groups, group_of = _groups(corpus.ids, found.labels, alike)
        check()
        with stages.shown("similar", len(corpus)) as tick:

            def all_neighbours(k: int) -> Neighbours:
                return self._neighbours(corpus, k, tick, executor)

            neighbours = (
                index.neighbours(self._n_jobs, all_neighbours)
                if index is not None
                else all_neighbours(k)
            )
        if index is not None:
            with stages.timed("save"):
                index.save()
        if neighbours.method != "exact":
            notes.append(
                f"similar documents were looked for {neighbours.method}: all pairs of so many "
                f"are not compared (exact_limit is {self._exact_limit:,})"
            )
        if self._store is not None:
            counts = self._store.counts
            if counts.corrupt:
                notes.append(f"cache: {counts.corrupt} damaged entries were dropped")
            if counts.errors:
                notes.append(f"cache: {counts.errors} reads or writes failed")
        self._corpus = corpus
        return AnalysisReport(
            ids=tuple(corpus.ids),
            paths=tuple(corpus.paths),
            chars=corpus.chars,
            words=corpus.lengths,
            groups=groups,
            group_of=group_of,
            neighbours=neighbours,
            threshold=threshold,
            measure=measure,
            duplicates_method=found.method,
            stages=stages.all(),
            notes=tuple(notes),
            sample=sample_of(len(corpus), corpus.vectors_of),
            texts=corpus.texts,
            peak_bytes=peak_bytes(),
            figures=told,
        )

    def _opened(self, folder: Path, shingle: int, k: int) -> Index:
        if shingle > 1:
            raise ValueError(f"shingle is {shingle}, wanted 1: an index keeps words, not texts")
        embedder = self._embedder
        if embedder is not None and embedder.name is None:
            raise ValueError("an index needs the embedder's embedder_name")
        name = "hashing" if embedder is None else embedder.name
        return Index(folder, {"embedder": name, "dimensions": self._dimensions}, k)

    def find_duplicates(
        self, threshold: float = 0.8, *, measure: Measure = "jaccard", shingle: int = 1
    ) -> list[list[Hashable]]:
        """Return the groups of near-duplicates among the documents of the last `analyze`.

        With `"jaccard"` two documents are alike when the sets of their lower-cased `\\w+` words (of
        runs of `shingle` words, where that is more than 1) have a Jaccard similarity of at least
        `threshold`; with `"cosine"` it is that of their vectors. Groups are the connected
        components, of two and more, in the order of their first document; a document without words
        is in none.

        Raises:
            RuntimeError: Nothing was analysed yet, or texts are needed and were not kept.
        """
        _check_duplicates(threshold, measure, shingle)
        corpus = self._analysed()
        with Stages(self._progress).shown("duplicates", len(corpus)) as tick:
            found = self._components(corpus, threshold, measure, shingle, tick, self._backend)
        return [[corpus.ids[i] for i in members] for members in _members(found.labels)]

    def similar(self, query: str, k: int = 10) -> list[Similar]:
        """Return the k documents of the last `analyze` whose vectors are nearest to the query's.

        The second question makes an index, which takes a quarter of the vectors' memory: those
        after it take a fifth of the time.
        """
        if not isinstance(query, str):
            raise TypeError(f"query is {type(query).__name__}, wanted str")
        return self.similar_many([query], k)[0]

    def similar_many(self, queries: Sequence[str], k: int = 10) -> list[list[Similar]]:
        """Return for each query what `similar` does. Many at once are embedded and searched
        together, which costs each a fraction.
        """
        if isinstance(queries, str):
            raise TypeError("queries is one str, wanted a sequence of them")
        _whole("k", k, 1)
        corpus = self._analysed()
        if not len(corpus) or not len(queries):
            return [[] for _ in queries]
        embedding = corpus.hashing if corpus.hashing is not None else self._embedder
        assert embedding is not None  # one of the two made the vectors
        vectors = embedding.encode(queries)
        found = self._nearest(corpus, vectors, min(k, len(corpus)))
        return [
            [Similar(corpus.ids[i], cosine) for i, cosine in zip(*near, strict=True) if i >= 0]
            if known
            else []
            for known, *near in zip(
                np.any(vectors, axis=1).tolist(),
                found.ids.tolist(),
                found.distances.tolist(),
                strict=True,
            )
        ]

    def _nearest(self, corpus: Corpus, vectors: NDArray[np.float32], k: int) -> Matches:
        """Search the vectors themselves for the first question about a corpus, then an index."""
        from raudo.similarity import FlatIndex, nearest

        if self._asked is not corpus:
            self._asked = corpus
            return nearest(vectors, corpus.vectors, k, metric="inner", n_jobs=self._n_jobs)
        questions = self._questions
        if questions is None or questions[0] is not corpus:
            index = FlatIndex.over(corpus.vectors, "inner", storage="int8")
            self._questions = questions = corpus, index
        return questions[1].search(vectors, k, n_jobs=self._n_jobs)

    def _analysed(self) -> Corpus:
        if self._corpus is None:
            raise RuntimeError("nothing was analysed yet: call analyze(documents) first")
        return self._corpus

    def _sets(self, corpus: Corpus, shingle: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        if shingle == 1:
            return corpus.words.offsets, corpus.words.words
        if corpus.texts is None:
            raise RuntimeError(f"shingle={shingle} needs the texts: analyze with keep_texts=True")
        return text.word_sets(corpus.texts, shingle=shingle, n_jobs=self._n_jobs)

    def _components(
        self,
        corpus: Corpus,
        threshold: float,
        measure: str,
        shingle: int,
        tick: Any,
        backend: object,
    ) -> Components:
        if measure == "cosine":
            return similar_vectors(
                corpus.vectors, threshold, self._n_jobs, tick, self._exact_limit, backend
            )
        return similar_sets(*self._sets(corpus, shingle), threshold, self._n_jobs, tick)

    def _similarities(
        self,
        corpus: Corpus,
        measure: str,
        shingle: int,
        first: NDArray[np.int64],
        each: NDArray[np.int64],
    ) -> NDArray[np.floating[Any]]:
        if measure == "cosine":
            return row_products(corpus.vectors_of(first), corpus.vectors_of(each))
        return likeness.jaccard_pairs(*self._sets(corpus, shingle), first, each)

    def _neighbours(self, corpus: Corpus, k: int, tick: Any, backend: object) -> Neighbours:
        k = min(k, max(0, len(corpus) - 1))
        return find_neighbours(corpus.vectors, k, self._n_jobs, tick, self._exact_limit, backend)


def _groups(
    ids: list[Hashable],
    labels: NDArray[np.int64],
    alike: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating[Any]]],
) -> tuple[tuple[Group, ...], NDArray[np.int64]]:
    """Return the groups, and each document's number; `alike` compares first[i] and each[i]."""
    group_of = np.full(len(ids), -1, np.int64)
    grouped = _members(labels)
    if not grouped:
        return (), group_of
    sizes = [len(members) for members in grouped]
    first = np.repeat([members[0] for members in grouped], sizes).astype(np.int64)
    each = np.concatenate(grouped)
    group_of[each] = np.repeat(np.arange(len(grouped)), sizes)
    ratios = alike(first, each).tolist()
    groups, at = [], 0
    for number, members in enumerate(grouped):
        names = tuple(ids[i] for i in members.tolist())
        groups.append(Group(number, names[0], names, tuple(ratios[at : at + len(names)])))
        at += len(names)
    return tuple(groups), group_of


def _members(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the members of each component of two and more, by their first."""
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    starts = np.concatenate([[0], cuts]).astype(np.int64)
    sizes = np.diff(np.concatenate([starts, [len(labels)]]))
    many = np.flatnonzero(sizes > 1)
    return [order[starts[i] : starts[i] + sizes[i]] for i in many.tolist()]


def _check_duplicates(threshold: float, measure: str, shingle: int) -> None:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise TypeError(f"threshold is {type(threshold).__name__}, wanted a number")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, wanted more than 0 and at most 1")
    if measure not in _MEASURES:
        raise ValueError(f"measure is {measure!r}, wanted one of {', '.join(_MEASURES)}")
    _whole("shingle", shingle, 1)


def _whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {type(value).__name__}, wanted a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}, wanted at least {least}")
    return value


def _jobs(n_jobs: int | None) -> int:
    if n_jobs is not None:
        return _whole("n_jobs", n_jobs, 1)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
