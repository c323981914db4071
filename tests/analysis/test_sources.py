"""Reading documents from files of every kind, broken ones too."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from raudo._core.walk import LEAST_SHARED, list_folder
from raudo.analysis import FileSource
from raudo.analysis.sources import decode
from raudo.cli import main


def texts(source: FileSource) -> dict[str, str]:
    return {str(document.id): document.text for document in source}


def test_a_folder_is_walked_in_order_and_broken_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.py").write_text("third")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("not seen")
    (tmp_path / ".hidden").write_text("not seen")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.js").write_text("not seen")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\t")
    (tmp_path / "data").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "picture.png").write_bytes(b"text, but named a picture")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "marked.txt").write_bytes("naïve".encode("utf-16"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    source = FileSource([tmp_path])
    found = {Path(name).name: content for name, content in texts(source).items()}
    assert found == {
        "a.md": "first",
        "b.txt": "second",
        "latin.txt": "café",
        "marked.txt": "naïve",
        "c.py": "third",
    }
    assert list(found) == ["a.md", "b.txt", "latin.txt", "marked.txt", "c.py"]
    counted = {why: sorted(Path(n).name for n in names) for why, names in source.skipped.items()}
    assert counted == {
        "hidden": [".git", ".hidden"],
        "cache or dependency folder": ["node_modules"],
        "empty": ["blank.txt", "empty.txt"],
        "binary": ["data", "picture.png"],
        "unreadable": ["dangling"],
        "not a regular file": ["pipe"],
    }
    assert [Path(name).name for name in source.badly_encoded] == ["latin.txt"]


def test_unreadable_files_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_text("locked")
    real = open

    def fails(path: object, *args: object, **kwargs: object) -> object:
        if str(path).endswith("b.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", fails)
    source = FileSource([tmp_path])
    assert list(texts(source).values()) == ["fine"]
    assert [Path(name).name for name in source.skipped["unreadable"]] == ["b.txt"]


def test_a_hidden_or_excluded_root_and_files_named_twice(tmp_path: Path) -> None:
    root = tmp_path / ".hidden"
    root.mkdir()
    (root / "a.md").write_text("a")
    (root / "out").mkdir()
    (root / "out" / "b.md").write_text("b")
    source = FileSource([root, root / "a.md"], exclude=[root / "out"])
    assert list(texts(source).values()) == ["a"]
    assert source.skipped == {"named twice": [str(root / "a.md")]}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", ("plain", False)),
        ("é".encode(), ("é", False)),
        (b"\xef\xbb\xbfx", ("x", False)),
        ("x".encode("utf-16-le"), ("x\0", False)),
        ("é".encode("utf-16"), ("é", False)),
        ("é".encode("utf-32"), ("é", False)),
        (b"\xe9", ("é", True)),
        (b"\xff\xfex", ("ÿþx", True)),
    ],
)
def test_decoding_rule(data: bytes, expected: tuple[str, bool]) -> None:
    assert decode(data) == expected


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    rows = [
        json.dumps({"id": "a", "title": "short", "body": "the body"}),
        json.dumps({"id": "a", "body": "same id"}),
        json.dumps({"id": 7, "body": "number"}),
        json.dumps({"body": 3}),
        "{broken",
        "[1]",
        '"a bare string"',
        "",
        json.dumps({"body": "  "}),
    ]
    path.write_text("\n".join(rows) + "\n")
    source = FileSource([path])
    assert texts(source) == {
        "a": "the body",
        f"{path}:2": "same id",
        "7": "number",
        f"{path}:7": "a bare string",
    }
    assert source.notes == [f"{path}: the text is taken from field 'body'"]
    assert source.skipped == {
        "no text in field 'body'": [f"{path}:4"],
        "not JSON": [f"{path}:5"],
        "not a JSON object": [f"{path}:6"],
        "empty": [f"{path}:8", f"{path}:9"],
    }


def test_json_lines_without_a_known_field_take_the_longest(tmp_path: Path) -> None:
    path = tmp_path / "docs.ndjson"
    path.write_text(json.dumps({"a": "x", "b": "longer", "c": 10**9}))
    source = FileSource([path])
    assert list(texts(source).values()) == ["longer"]
    assert list(texts(FileSource([path], text_field="a")).values()) == ["x"]


def test_tables(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["ID", "Text"],
                ["x", "two\nlines, quoted"],
                ["y", "plain"],
                ["z"],
                ["w", "v" * 200_000],
            ]
        )
    source = FileSource([table])
    found = texts(source)
    assert found["x"] == "two\nlines, quoted"
    assert len(found["w"]) == 200_000
    assert source.skipped == {"too few columns": [f"{table}:5"]}
    assert source.notes == [f"{table}: the text is taken from column 'Text'"]

    tabs = tmp_path / "t.tsv"
    tabs.write_text('1\tan "unbalanced quote\n2\tanother line\n')
    source = FileSource([tabs])
    assert list(texts(source).values()) == ['an "unbalanced quote', "another line"]
    assert "column 2" in source.notes[0]
    missing = FileSource([tabs], text_field="nope")
    assert texts(missing) == {}
    assert missing.skipped == {"no column 'nope'": [str(tabs)]}


def test_plain_lines_and_their_encodings(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufefffirst\r\n".encode() + b"caf\xe9\n\n" + "größe".encode())
    source = FileSource([path])
    assert texts(source) == {f"{path}:1": "first", f"{path}:2": "café", f"{path}:4": "größe"}
    assert source.badly_encoded == [f"{path}:2"]
    path.write_bytes("eins\nzwei\n".encode("utf-16"))
    assert list(texts(FileSource([path])).values()) == ["eins", "zwei"]
    path.write_bytes(b"\0\1\2")
    binary = FileSource([path])
    assert texts(binary) == {}
    assert binary.skipped == {"binary": [str(path)]}


def test_a_missing_path_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="/no/such does not exist"):
        FileSource(["/no/such"])


@pytest.mark.parametrize(
    ("content", "ids", "texts"),
    [
        ("id,review,stars\nr1,very good indeed,5\n", ["r1"], ["very good indeed"]),
        ("id;text\n1;one, two\n2;three\n", ["1", "2"], ["one, two", "three"]),
        ("nr\twords\n1\ta b c\n2\td e f\n", ["{}:2", "{}:3"], ["a b c", "d e f"]),
        ("a b c d,1\nx y z w,2\n", ["{}:1", "{}:2"], ["a b c d", "x y z w"]),
        ("just a line\nand one more\n", ["{}:1", "{}:2"], ["just a line", "and one more"]),
    ],
)
def test_a_table_without_a_known_name_for_its_text(tmp_path, content, ids, texts):
    path = tmp_path / "t.csv"
    path.write_text(content)
    found = list(FileSource(path))
    assert [each.id for each in found] == [each.format(path) for each in ids]
    assert [each.text for each in found] == texts


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_id_field_that_is_not_there_is_told(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    path.write_text("id,text\n1,a\n" if suffix == "csv" else '{"id": 1, "text": "a"}\n' * 2)
    source = FileSource([path], id_field="nope")
    assert all(each.id.startswith(str(path)) for each in source)
    assert len([note for note in source.notes if "'nope'" in note]) == 1


def test_a_file_of_lines_is_read_once(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,one\n2,two\n")
    for paths in ([path, path], [tmp_path, path], [path, tmp_path]):
        source = FileSource(paths)
        assert len(list(source)) == (1 if paths[0] == tmp_path else 2)
        assert source.skipped == {"named twice": [str(path)]}


def test_an_empty_path_is_not_the_current_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="path is empty"):
        FileSource([""])
    assert main(["analyze", ""]) == 2
    assert "path is empty" in capsys.readouterr().err


def test_threads_share_a_large_folder(tmp_path: Path) -> None:
    for number in range(LEAST_SHARED + 1):
        (tmp_path / f"{number}.txt").touch()
    os.symlink("0.txt", tmp_path / "link")
    (tmp_path / "folder").mkdir()
    names, modes, stamps = list_folder(tmp_path)
    assert names == sorted(os.listdir(tmp_path), key=os.fsencode)
    for n_jobs in (2, 3):
        again, modes_again, stamps_again = list_folder(tmp_path, n_jobs=n_jobs)
        assert again == names
        assert (modes_again == modes).all()
        assert (stamps_again == stamps).all()
    for name in ("0.txt", "link", "512.txt"):
        found, at = os.lstat(tmp_path / name), names.index(name)
        times = [found.st_mtime_ns, found.st_ctime_ns]
        assert stamps[at].tolist() == [found.st_dev, found.st_ino, found.st_size, *times]
        assert modes[at] == found.st_mode
