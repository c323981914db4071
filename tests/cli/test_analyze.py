"""`raudo analyze`, run as users run it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raudo.cli import main


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path / "xdg"), "PYTHONIOENCODING": "utf-8"}


def raudo(tmp_path: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "raudo", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        env=environment(tmp_path),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(12):
        (docs / f"d{i:02}.txt").write_text(
            f"document number {i} speaks of topic{i % 5} at length " * 3
        )
    (docs / "copy.txt").write_text((docs / "d03.txt").read_text().upper())
    (docs / "bad.txt").write_bytes(b"caf\xe9 au lait")
    (docs / "empty.txt").write_text("")
    (docs / "binary.dat").write_bytes(bytes(100))
    return docs


def test_finds_groups_and_writes_results(folder: Path, tmp_path: Path) -> None:
    done = raudo(tmp_path, "analyze", folder, "--out", "out", "--report", "r.html", "--k", 3)
    assert done.returncode == 0, done.stderr
    assert "14 documents" in done.stdout
    assert "1 binary: binary.dat" in done.stdout
    assert "1 empty: empty.txt" in done.stdout
    assert "1 not UTF-8, read as Latin-1: bad.txt" in done.stdout
    assert "2 x copy.txt" in done.stdout
    assert "words: 0 of 14 known" in done.stdout
    assert "similar: 14/14 documents" in done.stderr
    rows = [
        json.loads(each) for each in (tmp_path / "out/documents.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 14
    assert all(len(row["similar"]) == 3 for row in rows if row["path"] != str(folder / "bad.txt"))
    (group,) = map(json.loads, (tmp_path / "out/groups.jsonl").read_text().splitlines())
    assert group["members"] == [str(folder / "copy.txt"), str(folder / "d03.txt")]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["documents"] == 14
    assert summary["skipped"] == {"binary": 1, "empty": 1}
    page = (tmp_path / "r.html").read_text()
    assert "copy.txt" in page
    assert "document number 3 speaks of topic3 at length" in page  # read again for it
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "documents.jsonl",
        "groups.jsonl",
        "summary.json",
    ]

    machine = raudo(tmp_path, "analyze", folder, "--json", "--quiet")
    told = json.loads(machine.stdout)
    assert told["documents"] == 14
    assert told["written"] == []
    assert {stage["name"] for stage in told["stages"]} >= {"read", "words", "similar"}

    again = raudo(tmp_path, "analyze", folder, "--out", "again", "--k", 3, "--quiet")
    assert "words: 14 of 14 known" in again.stdout
    assert "saved" in again.stdout
    assert again.stderr == ""
    for name in ("documents.jsonl", "groups.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert (tmp_path / "xdg" / "raudo" / "analysis").is_dir()


def test_results_among_the_documents_are_not_read_back(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = raudo(
            tmp_path, "analyze", folder, "--out", folder / "out", "--report", folder / "r.html"
        )
        assert "14 documents" in done.stdout


def test_a_table_of_documents(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,summary\nx,the same words\ny,The same WORDS\nz,other\n")
    done = raudo(tmp_path, "analyze", table, "--no-cache", "--out", "o", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert "taken from column 'summary'" in done.stdout
    assert "cache       off" in done.stdout
    assert (tmp_path / "o/groups.csv").read_text().count("\n") == 2
    assert not (tmp_path / "xdg").exists()


def test_nothing_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "x.bin").write_bytes(b"\0")
    done = raudo(tmp_path, "analyze", "e", "--quiet", "--out", "o")
    assert done.returncode == 1
    assert done.stderr == "raudo analyze: no documents found in e (skipped: 1 binary)\n"
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        (["analyze"], "the following arguments are required: PATH"),
        (["analyze", "nowhere"], "nowhere does not exist"),
        (["analyze", ".", "--threshold", "1.5"], "argument --threshold: '1.5', wanted more than 0"),
        (["analyze", ".", "--threshold", "x"], "argument --threshold: 'x', wanted more than 0"),
        (["analyze", ".", "--k", "-1"], "argument --k"),
        (["analyze", ".", "--jobs", "0"], "argument --jobs: '0', wanted a whole number from 1"),
        (["analyze", ".", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["analyze", ".", "--report", "no/such/r.html"], "there is no folder no/such"),
        (["analyze", ".", "--report", "."], "is a folder, wanted a file"),
        (["analyze", ".", "--cache", "a", "--no-cache"], "not allowed with argument"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_arguments_are_one_line(
    args: list[str],
    wrong: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code: object = main(args)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code == 2
    assert wrong in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_file_in_the_way_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for option in ("--out", "--cache"):
        done = raudo(tmp_path, "analyze", folder, option, "taken")
        assert done.returncode == 2
        assert f"argument {option}: taken is not a folder" in done.stderr


def test_interrupted_leaves_no_half_files(tmp_path: Path) -> None:
    """The documents come from a pipe that never ends, so that the signal meets a run at work."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "raudo", "analyze", str(pipe), "--out", "out", "--report", "r.html"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    try:
        with open(pipe, "w") as writer:  # returns once the command has opened it
            writer.write(json.dumps({"text": "a document"}) + "\n")
            writer.flush()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert out == ""
    assert err.strip().splitlines()[-1] == "raudo analyze: interrupted"
    assert "Traceback" not in err
    assert not (tmp_path / "r.html").exists()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert not list(tmp_path.rglob("*.part"))


def test_names_that_would_disturb_a_terminal_are_escaped(tmp_path: Path) -> None:
    docs = tmp_path / "d"
    docs.mkdir()
    (docs / "a\x1b[31m\n.txt").write_text("same words here")
    (docs / os.fsdecode(b"b\xff.txt")).write_text("same words here")
    done = raudo(tmp_path, "analyze", docs, "--out", "o", "--report", "r.html", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "a\\x1b[31m\\n.txt" in done.stdout


def test_help_and_version(tmp_path: Path) -> None:
    assert "analyze" in raudo(tmp_path, "--help").stdout
    assert "--threshold" in raudo(tmp_path, "analyze", "--help").stdout
    assert raudo(tmp_path, "--version").stdout.startswith("raudo ")


def test_a_closed_pipe_is_no_traceback(folder: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "raudo", "analyze", str(folder), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert err == b""


def test_wrong_options_are_said_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["analyze", "--foo", "."])
    assert "unrecognized arguments: --foo (see raudo analyze --help)" in capsys.readouterr().err
    assert main(["analyze", ".", "--format", "csv"]) == 2
    assert "--format: it is the format of --out, which is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["analyze", ".", "--memory", "lots"])
    assert "'lots', wanted 1MiB or more" in capsys.readouterr().err


def test_figures_are_written_where_asked_for(folder: Path, tmp_path: Path) -> None:
    done = raudo(tmp_path, "analyze", folder, "--figures", "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "out" / "documents.jsonl").read_text("utf-8").splitlines()[0])
    assert list(row)[-5:] == ["sentences", "language", "top_terms", "readability", "entropy"]
    refused = raudo(tmp_path, "analyze", folder, "--figures")
    assert (refused.returncode, "--figures" in refused.stderr) == (2, True)


def test_standard_input_is_a_path(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "raudo", "analyze", "-", "--quiet", "--memory", "100MB"],
        input="the same line of words\nanother one\nThe same line of WORDS\n",
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "2 x stdin:1" in done.stdout


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet", "arrow"])
def test_names_that_are_no_text_go_through_to_every_result(
    tmp_path: Path, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if format_ in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"caf\xe9.txt", b"\xff\xfe.txt", b"plain.txt"):
        (folder / os.fsdecode(name)).write_text("the same few words in each of them")
    out, page = tmp_path / "out", tmp_path / "page.html"
    options = ["--out", str(out), "--format", format_, "--report", str(page), "--json"]
    assert main(["analyze", str(folder), "--no-cache", "--quiet", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["documents"], found["groups"]) == (3, 1)
    assert (out / f"documents.{format_}").stat().st_size
    assert "caf\\udce9.txt" in page.read_text(encoding="utf-8")


def test_a_full_disk_is_said_in_a_line_and_leaves_no_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"line {i} of many words {i * 7919}\n" for i in range(3000)))
    out = tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        assert main(["analyze", str(lines), "--out", str(out), "--no-cache", "--quiet"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, kept)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "documents.jsonl" in said
    assert os.listdir(out) == []
