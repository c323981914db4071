"""Whatever happens to files between runs, and to a run itself, a kept analysis tells what a whole
one does."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raudo._core.text import hash_bytes
from raudo.analysis import AnalysisReport, DocumentAnalyzer, FileSource
from raudo.analysis import index as index_module
from raudo.analysis import saved as saved_module
from raudo.analysis.stamps import now_ns

FILES = 14
ROWS = 4
WORDS = [f"word{i}" for i in range(12)]

# A content is some of the words, from the bits of a number, so that many are alike; 0 is empty.
contents = st.integers(0, 2**12 - 1) | st.sampled_from([0, 1, 4095, 4094])
files = st.integers(0, FILES - 1)


def operations(kinds: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, int, int, int]]:
    return st.tuples(kinds, files, files, contents)


changes = operations(
    st.sampled_from(
        [
            "write",
            "write",
            "same size",
            "remove",
            "rename",
            "swap",
            "touch",
            "link",
            "rows",
            "remove rows",
            "odd",
        ]
    )
)
steps = st.tuples(
    st.lists(changes, max_size=4),
    st.booleans(),  # whether the clock goes on before the next run
    st.none() | st.tuples(st.integers(0, 3), st.booleans()),  # the write at which the run dies
)


class KilledError(BaseException):
    """Ends a run as a signal does: nobody expects it."""


def text_of(content: int) -> str:
    return " ".join(word for i, word in enumerate(WORDS) if content >> i & 1)


def model(texts: list[str]) -> np.ndarray:
    rows = np.zeros((len(texts), 16), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[hash_bytes(word.encode()) % 16] += 1
    return rows


def apply(docs: Path, change: tuple[str, int, int, int]) -> None:
    kind, one, other, content = change
    path, second = docs / f"d{one:02}.txt", docs / f"d{other:02}.txt"
    if kind == "write":
        path.write_text(text_of(content))
    elif kind == "rows":
        # Ids that others have too: who comes first has it.
        rows = [{"id": f"id{(one + i) % 5}", "text": text_of(content >> i)} for i in range(ROWS)]
        (docs / f"r{one % 3}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    elif kind == "remove rows":
        (docs / f"r{one % 3}.jsonl").unlink(missing_ok=True)
    elif kind == "odd":
        (docs / f"d{one:02}.txt").write_bytes(b"caf\xe9 " + text_of(content).encode())
    elif not path.exists():
        return
    elif kind == "same size":
        # As a careless copy does: other content, the size and the time of the old one.
        before = path.stat()
        path.write_text(
            path.read_text(errors="replace").replace("word1", "word2")[: before.st_size]
        )
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif kind == "remove":
        path.unlink()
    elif kind == "rename":
        path.rename(second)
    elif kind == "swap" and second.exists() and one != other:
        spare = docs / "spare"
        path.rename(spare)
        second.rename(path)
        spare.rename(second)
    elif kind == "touch":
        os.utime(path, ns=(10**18, 10**18 + content))
    elif kind == "link" and not second.exists():
        os.link(path, second)


def settle(folder: Path) -> None:
    """Wait for the clock that stamps files to go on, some milliseconds."""
    last = max((path.stat().st_ctime_ns for path in folder.iterdir()), default=0)
    while now_ns() <= last:
        pass


def analyse(docs: Path, index: Path | None) -> tuple[AnalysisReport, FileSource]:
    source = FileSource([docs])
    analyzer = DocumentAnalyzer(model, index=index, embedder_name="m", n_jobs=1)
    return analyzer.analyze(source, threshold=0.6, k=2), source


def kill_at(number: int, is_done: bool) -> mock._patch[mock.Mock]:
    """Let a run die at one of its writes to the index, before or after it."""
    real, left = saved_module.write_segment, number

    def dying(*args: object) -> int:
        nonlocal left
        left -= 1
        if left < 0 and not is_done:
            raise KilledError
        size = real(*args)  # type: ignore[arg-type]
        if left < 0:
            raise KilledError
        return size

    return mock.patch.object(saved_module, "write_segment", dying)


def same(kept: tuple[AnalysisReport, FileSource], whole: tuple[AnalysisReport, FileSource]) -> None:
    (a, read), (b, read_whole) = kept, whole
    assert a.ids == b.ids
    assert a.paths == b.paths
    assert a.chars.tolist() == b.chars.tolist()
    assert a.words.tolist() == b.words.tolist()
    assert a.groups == b.groups
    assert a.group_of.tolist() == b.group_of.tolist()
    # Documents that are equally near may change places.
    assert a.neighbours.ids.shape == b.neighbours.ids.shape
    left, right = a.neighbours.similarities, b.neighbours.similarities
    assert np.allclose(left, right, atol=2e-6, equal_nan=True)
    assert read.skipped == read_whole.skipped
    assert read.badly_encoded == read_whole.badly_encoded
    assert read.notes == read_whole.notes


@settings(max_examples=20, deadline=None)
@example(
    [0] * 6 + [1] * 8, [([("write", 0, 0, 1)], True, None), ([("write", 0, 0, 31)], True, None)]
)
@example(
    [0] * FILES,
    [
        ([("rows", 0, 0, 255), ("rows", 1, 0, 255)], True, None),
        ([("remove rows", 0, 0, 0)], True, None),
    ],
)
@given(st.lists(contents, min_size=FILES, max_size=FILES), st.lists(steps, max_size=6))
def test_any_sequence_of_changes_gives_what_a_whole_run_gives(
    first: list[int],
    sequence: list[tuple[list[tuple[str, int, int, int]], bool, tuple[int, bool] | None]],
) -> None:
    # However much changed, it follows from what was.
    always = mock.patch.object(index_module, "ANEW_SHARE", 10.0)
    with always, tempfile.TemporaryDirectory() as place:
        docs, index = Path(place) / "docs", Path(place) / "index"
        docs.mkdir()
        for number, content in enumerate(first):
            (docs / f"d{number:02}.txt").write_text(text_of(content))
        settle(docs)
        same(analyse(docs, index), analyse(docs, None))
        for operations, waits, killed in sequence:
            for change in operations:
                apply(docs, change)
            if waits:
                settle(docs)
            if killed is not None:
                try:
                    with kill_at(*killed):
                        analyse(docs, index)
                except KilledError:
                    pass
            same(analyse(docs, index), analyse(docs, None))
        names = [path.name for path in index.iterdir()]
        assert not [name for name in names if name.endswith(".part")]
        assert len(names) <= 8, "files that no analysis names are swept"
