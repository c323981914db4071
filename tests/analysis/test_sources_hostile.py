"""Archives, columns, markup and streams; broken ones and ones that were made to do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import struct
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from raudo.analysis import FileSource
from raudo.analysis.documents import Batch
from raudo.analysis.sources import Tally, archives, lines, markup, tables
from raudo.analysis.sources.lines import Fields
from raudo.errors import MissingExtra


def texts(source: FileSource) -> dict[str, str]:
    return {str(document.id): document.text for document in source}


def skipped(source: FileSource) -> dict[str, int]:
    return {reason: len(names) for reason, names in source.skipped.items()}


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz", ".tgz": "w:gz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MEMBERS = {
    "a.txt": b"first",
    "sub/b.txt": "zweites, größer".encode(),
    "sub/c.txt": "naïve".encode("utf-16"),
    "rows.jsonl": b'{"id": "r1", "text": "a record"}\n{"id": "r2", "text": "another"}\n',
    "picture.png": b"\x89PNG",
    "blob": b"\0\1\2",
    ".hidden/x.txt": b"not seen",
    "../../etc/escape.txt": b"leads out",
    "/absolute.txt": b"leads out",
    "inner.zip": b"PK\3\4",
}


@pytest.mark.parametrize(
    "name", ["t.zip", "t.tar", "t.tar.gz", "t.tgz", "t.tar.bz2", "t.tar.xz", "T.ZIP"]
)
def test_archives_are_read_member_by_member(name: str, tmp_path: Path) -> None:
    make = make_zip if name.lower().endswith("zip") else make_tar
    path = make(tmp_path / name, MEMBERS)
    source = FileSource([path])
    assert texts(source) == {
        f"{path}/a.txt": "first",
        f"{path}/sub/b.txt": "zweites, größer",
        f"{path}/sub/c.txt": "naïve",
        "r1": "a record",
        "r2": "another",
    }
    assert skipped(source) == {
        "binary": 2,
        "hidden": 1,
        "name leads out of the archive": 2,
        "archive in an archive": 1,
    }
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing is unpacked"


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_bomb_ends_early(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LEAST_BYTES", 1 << 20)
    make = make_zip if suffix == ".zip" else make_tar
    path = make(tmp_path / f"bomb{suffix}", {f"{i}.txt": b"word " * 400_000 for i in range(40)})
    assert path.stat().st_size * archives.MAX_RATIO < 40 * 2_000_000
    source = FileSource([path])
    found = texts(source)
    assert 0 < len(found) < 40
    assert "unpacks to more than" in next(iter(source.skipped))


def test_a_member_larger_than_a_document_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_DOCUMENT_BYTES", 1000)
    members = {"large.txt": b"word " * 1000, "small.txt": b"fits"}
    for path in (make_zip(tmp_path / "t.zip", members), make_tar(tmp_path / "t.tar", members)):
        source = FileSource([path])
        assert list(texts(source).values()) == ["fits"]
        assert sum(skipped(source).values()) == 1


def test_a_zip_that_lies_about_sizes_is_not_believed(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "t.zip", {"a.txt": b"word " * 1000, "b.txt": b"fine"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 3)  # uncompressed size in the directory
    path.write_bytes(data)
    source = FileSource([path])
    assert "fine" in texts(source).values()


def test_links_and_devices_in_a_tar_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"odd{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    source = FileSource([path])
    assert texts(source) == {}
    assert skipped(source) == {"not a regular file": 4}


@pytest.mark.parametrize("name", ["t.zip", "t.tar", "t.tar.gz", "t.tar.xz", "t.tar.bz2"])
def test_an_archive_cut_anywhere_is_told_and_never_fatal(name: str, tmp_path: Path) -> None:
    make = make_zip if name.endswith("zip") else make_tar
    generator = __import__("random").Random(3)
    members = {
        f"{i}.txt": " ".join(f"w{generator.random()}" for _ in range(200)).encode()
        for i in range(12)
    }
    path = make(tmp_path / name, members)
    data = path.read_bytes()
    for share in (0, 0.02, 0.3, 0.6):
        path.write_bytes(data[: int(len(data) * share)])
        source = FileSource([path])
        found = texts(source)
        assert len(found) < 12
        assert found or skipped(source)
    for at in range(0, len(data), max(1, len(data) // 25)):
        flipped = bytearray(data)
        flipped[at] ^= 0xFF
        path.write_bytes(flipped)
        texts(FileSource([path]))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_compressed_lines(suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    rows = [json.dumps({"id": i, "text": f"text {i}"}) for i in range(5000)]
    data = compress("\n".join(rows).encode())
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(data)
    assert texts(FileSource([path])) == {str(i): f"text {i}" for i in range(5000)}
    path.write_bytes(data[: len(data) // 2])
    cut = FileSource([path])
    texts(cut)
    assert cut.skipped["damaged or cut short, the rest was left"] == [str(path)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows", ".feather"])
def test_columns(suffix: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(
        {
            "n": pa.array(range(20_000)),
            "id": pa.array([f"d{i}" for i in range(20_000)]),
            "words": pa.array([None if i % 1000 == 7 else f"the text {i}" for i in range(20_000)]),
        }
    )
    path = tmp_path / f"t{suffix}"
    write_columns(pa, table, path)
    source = FileSource([path], text_field="words")
    found = texts(source)
    assert len(found) == 20_000 - 20
    assert found["d19999"] == "the text 19999"
    assert skipped(source) == {"empty": 20}
    assert texts(FileSource([path])) == found, "the longest column of text"
    assert texts(FileSource([tmp_path])) == found, "in a folder, too"
    missing = FileSource([path], text_field="nope")
    assert texts(missing) == {}
    assert skipped(missing) == {"no column 'nope'": 1}
    data = path.read_bytes()
    for at in (0, 4, len(data) // 3, len(data) - 3):
        path.write_bytes(data[:at])
        cut = FileSource([path])
        texts(cut)
        assert "damaged" in cut.skipped, at


def write_columns(pa: object, table: object, path: Path) -> None:
    import pyarrow.feather
    import pyarrow.parquet

    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        make = pyarrow.ipc.new_file if path.suffix == ".arrow" else pyarrow.ipc.new_stream
        with make(path, table.schema) as writer:  # type: ignore[attr-defined]
            writer.write_table(table, max_chunksize=7000)


def test_columns_need_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match=r"raudo\[arrow\]"):
        list(FileSource([path]))


def test_columns_in_a_folder_are_skipped_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "note.txt").write_text("a note")
    source = FileSource([tmp_path])
    assert [document.text for document in source] == ["a note"]
    ((reason, names),) = source.skipped.items()
    assert "raudo[arrow]" in reason
    assert len(names) == 1


PAGE = """<!doctype html><html><head><title>The title</title><style>p{}</style></head><body>
<script>var hidden = 1;</script><h1>Hea<b>ding</b></h1><p>one &amp; two&nbsp;&#x41;</p><!-- no -->
<table><tr><td>left<td>right</table><p>line<br>break</p></body></html>"""


def test_markup_becomes_what_a_reader_sees(tmp_path: Path) -> None:
    pytest.importorskip("selectolax")
    pytest.importorskip("cmarkgfm")
    (tmp_path / "p.html").write_text(PAGE)
    (tmp_path / "q.md").write_text(
        "# Head\n\nSome *soft* `code` and a [link](http://x.y/z).\n\n```py\nx = '<b>'\n```\n"
        "\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<div>raw <i>h</i>tml</div>\n"
    )
    (tmp_path / "r.htm").write_bytes(
        b"<meta charset='windows-1251'><p>" + "привет".encode("cp1251")
    )
    found = {Path(name).name: each for name, each in texts(FileSource([tmp_path])).items()}
    assert found["p.html"].split("\n") == [
        "The title", "Heading", "one & two\xa0A", "left", "right", "line", "break"
    ]  # fmt: skip
    assert found["q.md"].split("\n") == [
        "Head", "Some soft code and a link.", "x = '<b>'", "a", "b", "1", "2", "raw html"
    ]  # fmt: skip
    assert found["r.htm"] == "привет"
    kept = FileSource([tmp_path / "p.html"], markup="keep")
    assert next(iter(texts(kept).values())) == PAGE


def test_markup_without_its_library_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in ("p.html", "q.md"):
        (tmp_path / page).write_text("<p>as it is")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "selectolax.lexbor", None)
        markup._html.cache_clear()
        markup._markdown.cache_clear()
        source = FileSource([tmp_path])
        assert set(texts(source).values()) == {"<p>as it is"}
    markup._html.cache_clear()
    markup._markdown.cache_clear()
    assert source.notes == [
        "HTML files were read with their tags: pip install 'raudo[markup]'",
        "Markdown files were read with their tags: pip install 'raudo[markup]'",
    ]


def test_hostile_markup_ends(tmp_path: Path) -> None:
    pytest.importorskip("selectolax")
    deep = 30_000
    (tmp_path / "deep.html").write_text("<div>" * deep + "x" + "<b>" * deep)
    (tmp_path / "deep.md").write_text("> " * deep + "x\n" + "[" * deep + "\n\n" + "*a " * deep)
    (tmp_path / "closed.html").write_text("<p>a<br>" * deep)
    (tmp_path / "broken.html").write_text(
        "<p>\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace") + "<<<>&#xFFFFFFFF;"
    )
    found = {Path(name).name: each for name, each in texts(FileSource([tmp_path])).items()}
    assert found["deep.html"] == "x"
    assert found["closed.html"].count("a") == deep
    assert len(found) == 4


def test_links_in_a_folder_are_not_documents(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "real.md").write_text("real")
    (tmp_path / "outside.md").write_text("outside")
    (root / "a-link.md").symlink_to(root / "sub" / "real.md")
    (root / "b-link.md").symlink_to(tmp_path / "outside.md")
    (root / "c-link.md").symlink_to(tmp_path / "outside.md")
    (root / "loop").symlink_to(root)
    (root / "round").symlink_to(root / "round")
    os.link(root / "sub" / "real.md", root / "sub" / "twin.md")
    source = FileSource([root])
    assert sorted(texts(source).values()) == ["outside", "real"]
    assert skipped(source) == {
        "symbolic link to a file that is read itself": 1,
        "symbolic link to a folder": 1,
        "named twice": 2,
        "unreadable": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_found(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("plain words, größer\n".encode(encoding) * 9)
    (tmp_path / "b.bin2").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "c").write_bytes(struct.pack("<40H", *range(40)))
    source = FileSource([tmp_path])
    assert list(texts(source).values()) == ["plain words, größer\n" * 9]
    assert skipped(source) == {"binary": 2}


def test_a_quote_never_closed_costs_its_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        'id,text\n1,fine\n2,"never closed\n3,"a ""quoted"" one\nof two lines"\n4,last\n'
    )
    source = FileSource([path])
    found = texts(source)
    assert found["1"] == "fine"
    assert found["4"] == "last"
    many = "id,text\n" + "".join(f'{i},"open {i}\n' for i in range(3001))
    path.write_text(many)
    source = FileSource([path])
    assert len(texts(source)) == 3001
    assert len(source.skipped["a quote that is never closed"]) == 3000
    monkeypatch.setattr(tables, "_MOST_SWALLOWED", 20)
    source = FileSource([path])
    assert len(texts(source)) == 3001
    assert len(source.skipped["a quote that is never closed"]) == 20


def test_a_json_array_is_its_elements(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]
    for name, content in (
        ("t.json", json.dumps(rows, indent=2)),
        ("t.jsonl", json.dumps(rows, indent=2)),
        ("u.jsonl", json.dumps(rows)),
    ):
        path = tmp_path / name
        path.write_text(content)
        assert texts(FileSource([path])) == {"a": "one", "b": "two"}, name
    (tmp_path / "t.json").write_text('{"text": "one object is a document"}')
    assert len(texts(FileSource([tmp_path / "t.json"]))) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\n\ntwo", {"stdin:1": "one", "stdin:3": "two"}),
        (b'{"text": "one"}\n{"id": 7, "text": "two"}', {"stdin:1": "one", "7": "two"}),
        (b'["one", "two"]', {"stdin:1": "one", "stdin:2": "two"}),
        (b"", {}),
    ],
)
def test_standard_input(data: bytes, expected: dict[str, str]) -> None:
    assert texts(FileSource(["-"], stdin=io.BytesIO(data))) == expected


def test_lines_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_DOCUMENT_BYTES", 300)
    path = tmp_path / "t.txt"
    wanted = [("é" * n if n % 3 else "x" * n) or " " for n in (*range(90), 149, 151, 2000, 5, 301)]
    path.write_text("\n".join(wanted))
    for block in (1, 2, 7, 64, 1 << 20):
        monkeypatch.setattr(lines, "_BLOCK", block)
        monkeypatch.setattr(lines, "SNIFFED", block)
        source = FileSource([path])
        found = {int(id_.rpartition(":")[2]): each for id_, each in texts(source).items()}
        kept = [n for n, each in enumerate(wanted, 1) if len(each.encode()) <= 300 or n in found]
        assert {n: each for n, each in enumerate(wanted, 1) if n in kept and each != " "} == found


def test_a_named_pipe_is_read_as_a_stream(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b'{"text": "a record"}\n',))
    writer.start()
    assert texts(FileSource([pipe])) == {f"{pipe}:1": "a record"}
    writer.join(30)


def test_a_bad_checksum_in_a_zip_is_one_document_less(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "t.zip", {"a.txt": b"first words", "b.txt": b"second"})
    data = path.read_bytes()
    good = struct.pack("<I", zlib.crc32(b"first words"))
    path.write_bytes(data.replace(good, b"\1\2\3\4"))
    source = FileSource([path])
    assert list(texts(source).values()) == ["second"]
    assert source.skipped == {"damaged": [f"{path}/a.txt"]}


def test_tables_that_the_kernel_reads_are_those_of_the_csv_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same blocks with the kernel and, where it reads nothing, by the csv module alone."""
    kernel, chance = tables.pick, random.Random(5)

    def read_with(pick: Any, blocks: list[tuple[int, str]]) -> tuple[Any, ...]:
        monkeypatch.setattr(tables, "pick", pick)
        tally, found = Tally(), Batch()
        for batch in tables.read_table(iter(blocks), "t.csv", Fields(), tally, tabs=False):
            found.extend(batch)
        return found.ids, found.texts, tally.skipped, tally.notes

    pieces = [
        'a,"',
        "b\n",
        "\r\n",
        '"two\nlines"',
        'x,"q ""q"" q",z\n',
        "plain, text\n",
        "\r",
        "\n",
    ]
    n_documents = 0
    for _ in range(400):
        monkeypatch.setattr(tables, "_SAMPLED", chance.choice([1, 3]))
        monkeypatch.setattr(tables, "_ROWS", chance.choice([2, 50]))
        text = "".join(["id,text\n", *chance.choices(pieces, k=30)])
        rows = io.StringIO(text, newline="\n").readlines()
        cuts = sorted({0, len(rows), *chance.choices(range(len(rows)), k=3)})
        blocks = [(lo + 1, "".join(rows[lo:hi])) for lo, hi in pairwise(cuts)]
        found = read_with(kernel, blocks)
        assert found == read_with(lambda _, at, number, *rest: (at, number), blocks), blocks
        n_documents += len(found[0])
    assert n_documents > 800


def test_a_table_whose_header_is_narrower_than_its_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n1,the text\n2,another one\n")
    source = FileSource([tmp_path / "t.csv"])
    assert [(d.id, d.text) for d in source] == [("1", "the text"), ("2", "another one")]
    assert source.notes == [f"{tmp_path}/t.csv: the text is taken from column 2"]


def test_a_folder_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """What goes is counted, what grows or shrinks is read as it is then, what comes is not seen."""
    for name in "abcdef":
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "g.txt").write_text("text g")
    source = FileSource([tmp_path])
    batches = source.batches(batch_documents=1)
    assert next(batches).texts == ["text a"]
    (tmp_path / "b.txt").unlink()
    (tmp_path / "c.txt").write_text("longer " * 9_000)
    (tmp_path / "d.txt").write_text("")
    (tmp_path / "e.txt").unlink()
    (tmp_path / "new.txt").write_text("not listed any more")
    (tmp_path / "sub" / "g.txt").unlink()
    (tmp_path / "sub").rmdir()
    assert [text for batch in batches for text in batch.texts] == ["longer " * 9_000, "text f"]
    assert skipped(source) == {"unreadable": 3, "empty": 1}
