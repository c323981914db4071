"""Files and command lines of anybody: an answer or a word, never a crash, a traceback or a hang.

HYPOTHESIS_PROFILE=deep searches longer. Under a sanitizer the forged indexes are what counts: their
sums are right, so that nothing but the arrays' own checks stands before the kernels.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from raudo.analysis import FileSource
from raudo.cli import main
from raudo.errors import CorruptEntry, RaudoError
from raudo.similarity.index import create_index, index_class
from raudo.similarity.index._file import read_arrays, write_arrays

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
N, D = 300, 12
ROWS = np.random.default_rng(5).standard_normal((N, D)).astype(np.float32)
EXTREMES = (-1, 0, 1, 7, 255, -(2**31), 2**31 - 1, 2**62, -(2**62))
INDEXES = {
    "flat": ("flat", {}),
    "flat int8": ("flat", {"storage": "int8"}),
    "ivf": ("ivf", {"nlist": 9}),
    "ivf, copies alone": ("ivf", {"nlist": 9, "storage": "int8", "rerank": False}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexes")
    for name, (kind, options) in INDEXES.items():
        index = create_index(kind, D, "sqeuclidean", **options)
        index.add(ROWS)
        index.remove(np.arange(0, 40))
        index.search(ROWS[:1], 2)
        index.save(folder / name)
    return folder


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[str, int, list[tuple[int, int]]]:
    """Which index, which of its arrays (modulo), and what is written where (modulo)."""
    places = st.tuples(st.integers(0, 2**20), st.sampled_from(EXTREMES))
    written = draw(st.lists(places, min_size=1, max_size=4))
    return draw(st.sampled_from(sorted(INDEXES))), draw(st.integers(0, 99)), written


@SHARED
@given(forgery=forgeries(), mmap=st.booleans())
def test_forged_indexes_answer_or_are_refused(
    saved: Path, forgery: tuple[str, int, list[tuple[int, int]]], mmap: bool
) -> None:
    name, which, changes = forgery
    meta, arrays = read_arrays(saved / name)
    names = [each for each in sorted(arrays) if arrays[each].dtype.kind in "iu"]
    assume(names)
    chosen = names[which % len(names)]
    forged = arrays[chosen].copy()
    assume(forged.size)
    flat, bounds = forged.reshape(-1), np.iinfo(forged.dtype)
    for place, value in changes:
        flat[place % flat.size] = min(max(value, bounds.min), bounds.max)
    path = saved / "forged"
    write_arrays(path, meta, {**arrays, chosen: forged})
    try:
        index = index_class(INDEXES[name][0]).load(path, mmap=mmap)  # type: ignore[attr-defined]
        found = index.search(ROWS[:3], 5)
        index.add(ROWS[:2])
        index.remove(index.ids[:1])
        index.search(ROWS[:1], 5)
    except (RaudoError, ValueError, KeyError):
        return
    assert found.ids.shape == (3, 5)


SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".html", ".md", ".zip", ".tar", ".gz", ".xz")
# What formats begin with, and what breaks them.
PIECES = [
    b'{"id": 1, "text": "a"}',
    b"id,text",
    b'"a',
    b"[",
    b"]",
    b",",
    b"\0" * 24,
    b"1e999",
    b"1,2,3",
]
PIECES += [b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xff\xfe", b"<p>", b'{"a":' * 60]
PIECES += [b"# raudo keys 1\n", b"RAUDOKY1", b"BLK1", b"time,key,size"]
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"\n".join),
)


@SHARED
@given(suffix=st.sampled_from(SUFFIXES), content=CONTENTS)
def test_documents_of_anybody_are_read_or_told(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"documents{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(RaudoError, ValueError):
        for document in FileSource(path):
            document.text.encode("utf-8", "surrogatepass")


@SHARED
@given(suffix=st.sampled_from(("", ".csv", ".npz", ".gz", ".bin", ".oracle")), content=CONTENTS)
def test_traces_of_anybody_are_read_or_told(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"trace{suffix}"
    path.write_bytes(content)
    code, _, told = run(["cache", "advise", str(path)])
    assert code in (0, 1, 2)
    assert code == 0 or told.startswith("raudo cache advise: ")


@settings(SHARED, max_examples=20)
@given(answer=st.one_of(CONTENTS, CONTENTS.map(lambda body: b"HTTP/1.1 200 OK\r\n\r\n" + body)))
def test_the_far_end_of_top_is_shown_or_told(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        code, out, err = run(
            ["top", f"http://127.0.0.1:{port}/metrics", "--once", "--interval", "0.1"]
        )
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    assert code in (0, 1)
    assert code == 0 or "cannot read http://127.0.0.1" in err
    assert not any(unicodedata.category(each) == "Cc" and each != "\n" for each in out + err)


def run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


OPTIONS = """
    --threshold --jobs --memory --format --out --report --text-field --id-field --quiet --no-cache
    --index --figures --sizes --limit --strategy 0 -1 1e9 nan x 99999999999999999999 csv [ ] --
"""
WORDS = st.one_of(
    st.sampled_from(OPTIONS.split()),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), max_size=8),
)


@SHARED
@given(
    command=st.sampled_from(("analyze", "cache", "info", "top", "")),
    words=st.lists(WORDS, max_size=5),
)
def test_command_lines_of_anybody_end_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Where something listens at its own port, `top` shows that until it is interrupted.
    monkeypatch.setattr("raudo.cli.top._DEFAULT_URL", "http://127.0.0.1:9/metrics")
    code, out, err = run([command, *words])
    assert code in (0, 1, 2)
    assert code == 0 or err
    assert "Traceback" not in out + err


def test_arrays_that_begin_between_elements_are_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, arrays = read_arrays(saved / "flat")
    monkeypatch.setattr("raudo.similarity.index._file._aligned", lambda offset: offset | 1)
    write_arrays(saved / "crooked", {}, arrays)
    with pytest.raises(CorruptEntry, match="begins at byte"):
        read_arrays(saved / "crooked", mapped=True)
