"""An analysis brought up to date gives what one made anew gives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from raudo._core.text import hash_bytes
from raudo.analysis import AnalysisReport, DocumentAnalyzer, FileSource
from raudo.analysis import incremental as incremental_module
from raudo.analysis import index as index_module
from raudo.analysis import segment as segment_module
from raudo.analysis.saved import load
from raudo.analysis.segment import read_segment
from raudo.analysis.stamps import now_ns


def write(folder: Path, name: int, generator: random.Random) -> None:
    """Write one of many near-duplicates of a few families."""
    family = generator.randrange(12)
    words = [f"family{family}word{i}" for i in range(20)]
    for _ in range(generator.randrange(4)):
        words[generator.randrange(20)] = f"odd{generator.randrange(50)}"
    if generator.random() < 0.05:
        words = []
    (folder / f"d{name:04}.txt").write_text(" ".join(words) or "...")


def shuffled_change(folder: Path, generator: random.Random) -> None:
    names = sorted(folder.iterdir())
    for path in generator.sample(names, 6):
        path.unlink()
    for path in generator.sample(sorted(folder.iterdir()), 6):
        write(folder, int(path.stem[1:]), generator)
    for _ in range(6):
        write(folder, generator.randrange(10_000), generator)


def settle(folder: Path) -> None:
    """Wait for the clock that stamps files to go on, some milliseconds."""
    last = max(path.stat().st_ctime_ns for path in folder.iterdir())
    while now_ns() <= last:
        pass


def same_groups(a: AnalysisReport, b: AnalysisReport) -> None:
    assert a.ids == b.ids
    assert a.chars.tolist() == b.chars.tolist()
    assert a.words.tolist() == b.words.tolist()
    assert a.groups == b.groups
    assert a.group_of.tolist() == b.group_of.tolist()


def same_neighbours(a: AnalysisReport, b: AnalysisReport) -> None:
    """The same cosines; documents that are equally near may change places."""
    left, right = a.neighbours.similarities, b.neighbours.similarities
    assert left.shape == right.shape
    assert np.allclose(left, right, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_updates_equal_whole_analyses(
    threshold: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refitted each time, so that vectors are those of the whole."""
    generator = random.Random(int(threshold * 10))
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in range(150):
        write(docs, name, generator)
    monkeypatch.setattr(index_module, "REFIT_SHARE", 0.0)
    for step in range(6):
        kept = DocumentAnalyzer(index=tmp_path / "index", n_jobs=1)
        updated = kept.analyze(FileSource([docs]), threshold=threshold, k=5)
        whole = DocumentAnalyzer(n_jobs=1).analyze(FileSource([docs]), threshold=threshold, k=5)
        same_groups(updated, whole)
        same_neighbours(updated, whole)
        assert (updated.duplicates_method == "exact, updated") == (step > 0)
        shuffled_change(docs, generator)


@pytest.mark.parametrize("dimensions", [16, 300])
def test_neighbours_are_updated_while_the_weights_stand(dimensions: int, tmp_path: Path) -> None:
    """With a model, vectors depend on the texts alone: lists must be those of a whole analysis.

    Most of its numbers are not zero, or most are.
    """

    def model(texts: list[str]) -> np.ndarray:
        rows = np.zeros((len(texts), dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[hash_bytes(word.encode()) % dimensions] += 1
        return rows

    generator = random.Random(5)
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in range(150):
        write(docs, name, generator)
    most = 0
    for _ in range(6):
        kept = DocumentAnalyzer(
            model, index=tmp_path / "index", embedder_name="m", n_jobs=2, memory_bytes=1 << 20
        )
        updated = kept.analyze(FileSource([docs]), k=3)
        whole = DocumentAnalyzer(model, n_jobs=1).analyze(FileSource([docs]), k=3)
        same_groups(updated, whole)
        same_neighbours(updated, whole)
        most = max(most, len(list((tmp_path / "index").glob("rows-*"))))
        shuffled_change(docs, generator)
    assert most in (2, 3), "parts are appended, and small ones put together"


def test_files_that_did_not_change_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in range(40):
        write(docs, name, random.Random(name))
    (docs / "binary").write_bytes(bytes(100))
    settle(docs)
    DocumentAnalyzer(index=tmp_path / "index").analyze(FileSource([docs]))
    (docs / "d0007.txt").write_text("something else altogether")
    (docs / "d0009.txt").unlink()
    opened: list[str] = []
    real = open

    def watched(path: object, *args: object, **kwargs: object) -> object:
        opened.append(Path(str(path)).name)
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", watched)
    source = FileSource([docs])
    report = DocumentAnalyzer(index=tmp_path / "index").analyze(source)
    monkeypatch.undo()
    assert [name for name in opened if name.startswith(("d0", "bin"))] == ["d0007.txt"]
    assert source.skipped == {"binary": [str(docs / "binary")]}, "told again"
    assert len(report) == 39
    read = next(stage for stage in report.stages if stage.name == "read")
    assert (read.hits, read.misses) == (38, 1)


def test_a_file_is_read_again_in_another_way(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "page.html"
    path.parent.mkdir()
    path.write_text("<p>one two</p>")
    settle(path.parent)
    for markup, words in (("text", 2), ("keep", 4), ("keep", 4), ("text", 2)):
        source = FileSource([path.parent], markup=markup)  # type: ignore[arg-type]
        report = DocumentAnalyzer(index=tmp_path / "index").analyze(source)
        assert report.words.tolist() == [words]


def test_rows_that_did_not_change_are_known_by_content(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"id": i, "text": f"the text of document {i} and more {i % 7}"} for i in range(300)]
    path.write_text("\n".join(map(json.dumps, rows)))
    DocumentAnalyzer(index=tmp_path / "index").analyze(FileSource([path]))
    rows[5]["text"] = "changed altogether"
    del rows[9]
    path.write_text("\n".join(map(json.dumps, rows)))
    report = DocumentAnalyzer(index=tmp_path / "index").analyze(FileSource([path]))
    words = next(stage for stage in report.stages if stage.name == "words")
    assert words.items == 1
    same_groups(report, DocumentAnalyzer().analyze(FileSource([path])))


def test_other_documents_than_files_may_be_indexed(tmp_path: Path) -> None:
    documents = {"a": "one two three", "b": "one two three", "c": "four five"}
    for _ in range(2):
        report = DocumentAnalyzer(index=tmp_path).analyze(documents, k=1)
        assert [group.members for group in report.groups] == [("a", "b")]
    documents["a"] = "four five"
    report = DocumentAnalyzer(index=tmp_path).analyze(documents, k=1)
    assert [group.members for group in report.groups] == [("a", "c")]
    assert len(DocumentAnalyzer(index=tmp_path).analyze({})) == 0
    with pytest.raises(TypeError, match="wanted str or int for an index"):
        DocumentAnalyzer(index=tmp_path).analyze([((1, 2), "text")])


def test_other_settings_make_anew(tmp_path: Path) -> None:
    documents = [f"document of words {i % 20} and {i % 3}" for i in range(100)]
    for settings in ({"threshold": 0.9}, {"threshold": 0.5}, {"k": 3}, {"measure": "cosine"}):
        for dimensions in (256, 64):
            made = DocumentAnalyzer(index=tmp_path, dimensions=dimensions)
            updated = made.analyze(documents, **settings)  # type: ignore[arg-type]
            whole = DocumentAnalyzer(dimensions=dimensions).analyze(documents, **settings)  # type: ignore[arg-type]
            same_groups(updated, whole)
            same_neighbours(updated, whole)


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    documents = [f"document of words {i % 20}" for i in range(60)]
    whole = DocumentAnalyzer(index=tmp_path).analyze(documents)
    kinds = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert kinds == {"analysis.seg", "rows", "weights"}
    for kind in sorted(kinds, reverse=True):
        (path,) = tmp_path.glob(f"{kind}*")
        good = path.read_bytes()
        for damaged in (b"", good[:100], good[:-1], good[:500] + b"\xff" + good[501:]):
            path.write_bytes(damaged)
            assert load(tmp_path) is None
            path.write_bytes(good)
        path.unlink()
        same_groups(DocumentAnalyzer(index=tmp_path).analyze(documents), whole)
        assert load(tmp_path) is not None
    DocumentAnalyzer(index=tmp_path).analyze(documents[1:])
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == sorted(kinds), "files of a damaged index were left"


@pytest.mark.skipif(sys.platform != "linux", reason="files have no stamps elsewhere")
def test_what_was_checked_is_looked_at_again_when_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [f"document of words {i % 20}" for i in range(60)]
    looked: list[int] = []
    real = segment_module._checksum

    def watched(array: np.ndarray) -> int:
        looked.append(array.nbytes)
        return real(array)

    DocumentAnalyzer(index=tmp_path).analyze(documents)
    settle(tmp_path)
    DocumentAnalyzer(index=tmp_path).analyze(documents)  # notes that the clock went on
    table = read_segment(tmp_path / "analysis.seg")[0]
    monkeypatch.setattr(segment_module, "_checksum", watched)
    assert load(tmp_path) is not None
    assert looked == [array.nbytes for array in table.values()]
    (part,) = tmp_path.glob("rows-*")
    before, content = part.stat(), bytearray(part.read_bytes())
    content[-1] ^= 1
    with open(part, "r+b") as file:
        file.write(content)
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(tmp_path) is None


def test_too_many_pairs_are_joined_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental_module, "MOST_PAIRS", 10)
    documents = ["the same words"] * 50
    DocumentAnalyzer(index=tmp_path).analyze(documents)
    report = DocumentAnalyzer(index=tmp_path).analyze([*documents, *documents])
    assert [len(group) for group in report.groups] == [100]


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda path: DocumentAnalyzer(index=path).analyze([], shingle=2), "an index keeps words"),
        (lambda path: DocumentAnalyzer(len, index=path).analyze([]), "embedder_name"),
    ],
)
def test_what_an_index_cannot_do_is_said(make: object, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=wrong):
        make(tmp_path)  # type: ignore[operator]


SLOW = """
import sys, time
from raudo.analysis import DocumentAnalyzer
from raudo.analysis import corpus
corpus.BATCH_DOCUMENTS, corpus.FLUSH_SECONDS = 10, 0.0

class Model:
    def encode(self, texts):
        for text in texts:
            print(text, flush=True)
            time.sleep(float(sys.argv[2]))
        return [[len(text), 1.0] for text in texts]

documents = [f"document {i}" for i in range(100)]
DocumentAnalyzer(Model(), cache=sys.argv[1], embedder_name="m").analyze(documents)
"""


def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    def start(pause_s: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SLOW, str(tmp_path / "cache"), str(pause_s)],
            stdout=subprocess.PIPE,
            text=True,
        )

    killed = start(0.02)
    assert killed.stdout is not None
    seen = [killed.stdout.readline() for _ in range(35)]
    os.kill(killed.pid, signal.SIGKILL)
    seen += killed.stdout.readlines()
    killed.stdout.close()
    killed.wait()
    assert len(seen) < 100
    again, _ = start(0.0).communicate(timeout=60)
    repeated = set(again.splitlines()) & {line.strip() for line in seen}
    assert len(again.splitlines()) + len(seen) - len(repeated) == 100
    assert len(repeated) <= 20, "what was embedded before the last two batches is known"


def test_a_kill_while_the_index_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    documents = [f"document of words {i % 50}" for i in range(2000)]
    DocumentAnalyzer(index=tmp_path).analyze(documents)
    code = (
        "import sys\nfrom raudo.analysis import DocumentAnalyzer\n"
        "documents = [f'document of words {i % 50}' for i in range(2000)]\n"
        "print('go', flush=True)\n"
        "while True: DocumentAnalyzer(index=sys.argv[1]).analyze(documents, k=1)\n"
    )
    for wait_s in (0.05, 0.11):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait_s)
        process.kill()
        process.wait()
        process.stdout.close()
        kept = load(tmp_path)
        assert kept is not None
        assert len(kept) == 2000
