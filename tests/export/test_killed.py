"""A process that is killed in mid-export, or may write no more: the old file, or the new."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raudo.errors import ExportError
from raudo.export import export
from raudo.export.sinks import file as sinks

ENDLESS = Path(__file__).with_name("killed.py")


@pytest.mark.parametrize(
    ("name", "parts"), [("rows.jsonl", 0), ("rows.csv.gz", 0), ("rows.csv", 2)]
)
def test_kill_in_mid_export_leaves_the_old_file(tmp_path: Path, name: str, parts: int) -> None:
    wanted = export([{"id": 1}], tmp_path / name, parts=parts or None)
    before = {path: Path(path).read_bytes() for path in (*wanted.paths, wanted.manifest) if path}
    with subprocess.Popen(
        [sys.executable, ENDLESS, tmp_path / name, str(parts)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert {path: Path(path).read_bytes() for path in before} == before
    left = {str(tmp_path / each) for each in os.listdir(tmp_path)} - before.keys()
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        assert left == set()  # the file had no name yet
    assert all(each.endswith(".part") for each in left)


def test_new_file_is_whole_or_absent_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call that changes the folder, what has the real name is the old file or the new."""
    path = tmp_path / "rows.jsonl"
    export([{"id": "old"}], path)
    seen: list[str] = []
    for step in ("fsync", "link", "replace", "close"):
        if not hasattr(os, step):
            continue

        def watched(real: Any, *args: Any, **options: Any) -> Any:
            seen.append(json.loads(path.read_text())["id"])
            return real(*args, **options)

        monkeypatch.setattr(sinks.os, step, partial(watched, getattr(os, step)))
    export([{"id": "new"}], path)
    assert set(seen) == {"old", "new"}
    assert sorted(seen, reverse=True) == seen


@pytest.mark.parametrize("suffix", ["jsonl", "csv.gz", "npy", "arrow"])
def test_file_that_may_not_grow_is_told_and_dropped(tmp_path: Path, suffix: str) -> None:
    if suffix == "arrow":
        pytest.importorskip("pyarrow")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(ExportError) as caught:
            export(({"id": i * 7919**3 % 2**60} for i in range(400_000)), tmp_path / f"a.{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, kept)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []


def test_without_unnamed_files_a_named_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "rows.jsonl"
    export([{"id": 1}], path)
    with pytest.raises(ZeroDivisionError):
        export(({"id": 1 // (5000 - i)} for i in range(9000)), path)
    assert path.read_bytes() == b'{"id":1}\n'
    assert os.listdir(tmp_path) == ["rows.jsonl"]
