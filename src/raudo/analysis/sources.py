"""Documents from files: folders of text files, or one file with a document a line.

Bytes become text by the first rule that fits: a byte order mark (UTF-8, UTF-16, UTF-32); UTF-8;
Latin-1, which always fits and is counted as badly encoded. A file with a zero byte among its first
8 KiB, and no byte order mark, is binary. Whatever cannot be used is counted with its reason;
nothing here is fatal.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from raudo.analysis.documents import Document
from raudo.analysis.records import LINE_SUFFIXES, read_lines, read_records

__all__ = ["FileSource", "decode"]

MAX_FILE_BYTES = 64 << 20
_SNIFFED = 8192
# Folders of caches and of other people's code; a PATH that is one of them is walked all the same.
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_BINARY = frozenset(
    ".7z .a .bin .bmp .bz2 .class .db .dll .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg "
    ".jpg .lib .lz4 .mo .mp3 .mp4 .npy .npz .o .ogg .otf .parquet .pdf .pickle .pkl .png .pyc "
    ".pyd .rar .so .sqlite .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 "
    ".xz .zip .zst".split()
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_by_mark(data: bytes) -> str | None:
    """Return the encoding that a byte order mark at the beginning says."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def decode(data: bytes) -> tuple[str, bool]:
    """Return the text, and whether it had to be read as Latin-1."""
    try:
        return data.decode(encoding_by_mark(data) or "utf-8"), False
    except UnicodeDecodeError:
        return data.decode("latin-1"), True


class FileSource:
    """Iterates over the documents of paths, once; `skipped` and `notes` tell afterwards what was
    left.

    Args:
        paths: One path, or several: folders, walked in the order of their names; `.jsonl`, `.csv`,
            `.tsv` and `.txt` files, read as a document a line; other files, each a document.
        text_field: Field or column that holds the text; found by name when None.
        id_field: Field or column that holds the id; `id` where there is one, else file and line.
        exclude: Files and folders to leave out, such as those that results are written to.

    Raises:
        FileNotFoundError: A path does not exist. Checked at once, as is the next.
        ValueError: A path is empty.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        text_field: str | None = None,
        id_field: str | None = None,
        exclude: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        if isinstance(paths, str | os.PathLike):
            paths = [paths]
        given = [os.fspath(path) for path in paths]
        if "" in given:
            raise ValueError("a path is empty; the current folder is '.'")
        self.paths = [Path(path) for path in given]
        for path in self.paths:
            if not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        self.text_field, self.id_field = text_field, id_field
        self.skipped: dict[str, list[str]] = {}
        self.badly_encoded: list[str] = []
        self.notes: list[str] = []
        self._seen: set[str] = set()
        self._read_by_line: set[str] = set()
        self._excluded = {os.path.realpath(path) for path in exclude}

    def skip(self, reason: str, name: str) -> None:
        self.skipped.setdefault(reason, []).append(name)

    def __iter__(self) -> Iterator[Document]:
        for path in self.paths:
            if path.is_dir():
                yield from self._folder(path)
            elif path.suffix.lower() in LINE_SUFFIXES:
                yield from self._lines(path)
            else:
                yield from self._file(path)

    def _folder(self, root: Path) -> Iterator[Document]:
        def failed(error: OSError) -> None:
            self.skip("unreadable", str(error.filename))

        for folder, folders, names in os.walk(root, onerror=failed):
            kept = []
            for name in sorted(folders):
                if name.startswith("."):
                    self.skip("hidden", os.path.join(folder, name))
                elif name in _LEFT_OUT:
                    self.skip("cache or dependency folder", os.path.join(folder, name))
                elif not self._is_excluded(os.path.join(folder, name)):
                    kept.append(name)
            folders[:] = kept
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.startswith("."):
                    self.skip("hidden", path)
                elif not self._is_excluded(path):
                    yield from self._file(Path(path))

    def _is_excluded(self, path: str) -> bool:
        return bool(self._excluded) and os.path.realpath(path) in self._excluded

    def _file(self, path: Path) -> Iterator[Document]:
        name = str(path)
        if path.suffix.lower() in _BINARY:
            self.skip("binary", name)
            return
        try:
            if not path.is_file():
                # a pipe or a device would block, a dangling link has nothing
                self.skip("not a regular file" if path.exists() else "unreadable", name)
                return
            with open(path, "rb") as file:
                head = file.read(_SNIFFED)
                if b"\0" in head and encoding_by_mark(head) is None:
                    self.skip("binary", name)
                    return
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    self.skip(f"larger than {MAX_FILE_BYTES >> 20} MiB", name)
                    return
                data = head + file.read()
        except OSError:
            self.skip("unreadable", name)
            return
        content, was_bad = decode(data)
        if not content.strip():
            self.skip("empty", name)
            return
        if was_bad:
            self.badly_encoded.append(name)
        if name in self._seen or self._was_read_by_line(path):
            self.skip("named twice", name)
            return
        self._seen.add(name)
        yield Document(name, content, name)

    def _was_read_by_line(self, path: Path) -> bool:
        return bool(self._read_by_line) and os.path.abspath(path) in self._read_by_line

    def _lines(self, path: Path) -> Iterator[Document]:
        if str(path) in self._seen or self._was_read_by_line(path):
            self.skip("named twice", str(path))
            return
        self._read_by_line.add(os.path.abspath(path))
        try:
            with open(path, "rb") as file:
                head = file.read(_SNIFFED)
                encoding = encoding_by_mark(head)
                if b"\0" in head and encoding is None:
                    self.skip("binary", str(path))
                    return
                file.seek(0)
                lines = read_lines(file, encoding, str(path), self.badly_encoded)
                records = read_records(
                    lines, path, self.text_field, self.id_field, self.skip, self.notes.append
                )
                for number, id_, content in records:
                    place = f"{path}:{number}"
                    if not content.strip():
                        self.skip("empty", place)
                        continue
                    key = place if id_ is None or id_ in self._seen else id_
                    if key in self._seen:
                        self.skip("named twice", place)
                        continue
                    self._seen.add(key)
                    yield Document(key, content, str(path))
        except OSError:
            self.skip("unreadable", str(path))
