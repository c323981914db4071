"""`FileSource`: what paths lead to, one entry after the other, and the documents of each.

An entry is a file: a document, a table of documents, or an archive of files. `stamp` tells whether
it may have changed since it was last seen, without reading it.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from raudo.analysis.documents import BATCH_CHARS, BATCH_DOCUMENTS, Batch, Document
from raudo.analysis.sources.archives import ARCHIVE_SUFFIXES, COMPRESSED, members, opened
from raudo.analysis.sources.columns import COLUMN_SUFFIXES, read_columns
from raudo.analysis.sources.decoding import SNIFFED, decode, is_binary
from raudo.analysis.sources.lines import (
    MAX_DOCUMENT_BYTES,
    TOO_LARGE,
    Fields,
    beginning,
    read_json_array,
    read_json_lines,
    read_text_lines,
    text_blocks,
)
from raudo.analysis.sources.markup import HTML_SUFFIXES, to_text
from raudo.analysis.sources.tables import read_table
from raudo.analysis.sources.tally import Tally

__all__ = ["Entry", "FileSource"]

# Folders of caches and of other people's code; a PATH that is one of them is walked all the same.
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_BINARY = frozenset(
    ".7z .a .bin .bmp .bz2 .class .db .dll .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg "
    ".jpg .lib .lz4 .mo .mp3 .mp4 .npy .npz .o .ogg .otf .pdf .pickle .pkl .png .pyc "
    ".pyd .rar .so .sqlite .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 "
    ".xz .zip .zst".split()
)
# Read as records wherever they are; tables and text only where they are named, or a text field is.
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
_TABLES = frozenset({".csv", ".tsv"})
_STDIN = "-"

Stamp = tuple[int, int, int, int]  # device, inode, size in bytes, modification time in ns


class Entry(NamedTuple):
    """A file to read: what it is called, its suffix in lower case, and whether it was named
    itself."""

    name: str
    suffix: str
    is_named: bool
    stamp: Stamp | None


class FileSource:
    """Iterates over the documents of paths, once; `skipped`, `badly_encoded` and `notes` tell
    afterwards what was left.

    Args:
        paths: One path, or several: folders, walked in the order of their names; archives;
            `.jsonl`, `.csv`, `.tsv`, `.txt`, `.parquet`, `.arrow` and `.feather` files, read as a
            document a row; other files, each a document; `-` for standard input, lines or JSON
            lines.
        text_field: Field or column that holds the text; found by name when None.
        id_field: Field or column that holds the id; `id` where there is one, else file and line.
        exclude: Files and folders to leave out, such as those that results are written to.
        markup: `"text"` reads HTML and Markdown as what a reader sees, `"keep"` as they are.
        stdin: Where `-` is read from; standard input when None.

    Raises:
        FileNotFoundError: A path does not exist. Checked at once, as are the next.
        ValueError: A path is empty, or markup is neither.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        text_field: str | None = None,
        id_field: str | None = None,
        exclude: Iterable[str | os.PathLike[str]] = (),
        markup: Literal["text", "keep"] = "text",
        stdin: BinaryIO | None = None,
    ) -> None:
        if isinstance(paths, str | os.PathLike):
            paths = [paths]
        given = [os.fspath(path) for path in paths]
        if "" in given:
            raise ValueError("a path is empty; the current folder is '.'")
        if markup not in ("text", "keep"):
            raise ValueError(f"markup is {markup!r}, wanted 'text' or 'keep'")
        self.paths = [Path(path) for path in given]
        for path in self.paths:
            if str(path) != _STDIN and not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        self.fields = Fields(text_field, id_field)
        self.markup = markup
        self.tally = Tally()
        self._stdin = stdin
        self._excluded = {os.path.realpath(path) for path in exclude}
        self._excluded_names = {os.path.basename(path) for path in self._excluded}
        self._roots = tuple(
            os.path.join(os.path.realpath(path), "") for path in self.paths if path.is_dir()
        )
        self._met: set[tuple[int, int]] = set()

    @property
    def skipped(self) -> dict[str, list[str]]:
        return self.tally.skipped

    @property
    def badly_encoded(self) -> list[str]:
        return self.tally.badly_encoded

    @property
    def notes(self) -> list[str]:
        return self.tally.notes

    def __iter__(self) -> Iterator[Document]:
        for batch in self.batches():
            for id_, content, path in zip(batch.ids, batch.texts, batch.paths, strict=True):
                yield Document(id_, content, path)

    def batches(
        self, batch_chars: int = BATCH_CHARS, batch_documents: int = BATCH_DOCUMENTS
    ) -> Iterator[Batch]:
        """Yield the documents in batches of about this size; ids are distinct."""
        batch, n_chars = Batch(), 0
        for entry in self.entries():
            for part in self.read(entry):
                batch.extend(part)
                n_chars += sum(map(len, part.texts))
                if n_chars >= batch_chars or len(batch) >= batch_documents:
                    yield batch
                    batch, n_chars = Batch(), 0
        if len(batch):
            yield batch

    # --- what there is ---------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """Yield the files to read, in order, without opening them."""
        for path in self.paths:
            if str(path) == _STDIN:
                yield Entry(_STDIN, "", True, None)
            elif path.is_dir():
                yield from self._folder(str(path))
            else:
                yield from self._named(str(path))

    def _named(self, name: str) -> Iterator[Entry]:
        try:
            status = os.stat(name)
        except OSError:
            self.tally.skip("unreadable", name)
            return
        if entry := self._entry(name, status, is_named=True):
            yield entry

    def _folder(self, folder: str) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as found:
                inside = sorted(found, key=lambda each: each.name)
        except OSError:
            self.tally.skip("unreadable", folder)
            return
        folders = []
        for each in inside:
            if each.name.startswith("."):
                self.tally.skip("hidden", each.path)
            elif self._is_excluded(each):
                continue
            elif each.is_dir(follow_symlinks=False):
                folders.append(each)
            elif entry := self._found(each):
                yield entry
        for each in folders:
            if each.name in _LEFT_OUT:
                self.tally.skip("cache or dependency folder", each.path)
            else:
                yield from self._folder(each.path)

    def _found(self, found: os.DirEntry[str]) -> Entry | None:
        try:
            status = found.stat()
            if found.is_symlink():
                target = os.path.realpath(found.path)
                if os.path.isdir(target):
                    self.tally.skip("symbolic link to a folder", found.path)
                    return None
                if target.startswith(self._roots):
                    self.tally.skip("symbolic link to a file that is read itself", found.path)
                    return None
        except OSError:  # a link that leads nowhere, or in a circle
            self.tally.skip("unreadable", found.path)
            return None
        return self._entry(found.path, status, is_named=False)

    def _entry(self, name: str, status: os.stat_result, *, is_named: bool) -> Entry | None:
        suffix = _suffix(name)
        if is_named and stat.S_ISFIFO(status.st_mode):
            return Entry(name, suffix, is_named, None)
        if not stat.S_ISREG(status.st_mode):
            self.tally.skip("not a regular file", name)  # a pipe or a device would block
            return None
        # One more link to a file that was read is not one more document.
        if (met := (status.st_dev, status.st_ino)) in self._met:
            self.tally.skip("named twice", name)
            return None
        self._met.add(met)
        stamp = (*met, status.st_size, status.st_mtime_ns)
        return Entry(name, suffix, is_named, stamp)

    def _is_excluded(self, found: os.DirEntry[str]) -> bool:
        # To resolve a path costs a look at each of its folders: only for a name that is among
        # these.
        if found.name not in self._excluded_names:
            return False
        return os.path.realpath(found.path) in self._excluded

    # --- what is in it ---------------------------------------------------------------------------

    def read(self, entry: Entry) -> Iterator[Batch]:
        """Yield the documents of one file, in batches of any size."""
        if entry.name == _STDIN:
            stdin = self._stdin if self._stdin is not None else sys.stdin.buffer
            # Its raw file has no lock that a thread could hold while the interpreter ends.
            yield from self._lines(getattr(stdin, "raw", stdin), "", "stdin")
            return
        try:
            with open(entry.name, "rb", buffering=0) as raw:
                yield from self._opened(raw, entry)
        except OSError:
            self.tally.skip("unreadable", entry.name)

    def _opened(self, raw: io.FileIO, entry: Entry) -> Iterator[Batch]:
        name, suffix = entry.name, entry.suffix
        if entry.is_named and name.lower().endswith(ARCHIVE_SUFFIXES):
            size = os.fstat(raw.fileno()).st_size
            archive_suffix = ".zip" if suffix == ".zip" else ".tar"
            for member, data in members(raw, size, archive_suffix, name, self.tally):
                place = f"{name}/{member}"
                yield from self._member(data, place, _suffix(member))
        elif entry.is_named and suffix in COMPRESSED:
            within = _suffix(name[: -len(suffix)])
            with opened(raw, suffix) as plain:
                yield from self._lines(plain, within, name)
        elif entry.stamp is None:
            yield from self._lines(raw, suffix if self._is_table(suffix, True) else "", name)
        elif self._is_table(suffix, entry.is_named):
            yield from self._lines(raw, suffix, name)
        elif suffix in _BINARY:
            self.tally.skip("binary", name)
        else:
            yield from self._document(raw, name, suffix, entry.is_named)

    def _is_table(self, suffix: str, is_named: bool) -> bool:
        if suffix in _JSON_LINES or suffix in COLUMN_SUFFIXES:
            return True
        if suffix in _TABLES:
            return is_named or self.fields.text is not None
        return suffix == ".txt" and is_named

    def _lines(self, file: BinaryIO, suffix: str, name: str) -> Iterator[Batch]:
        """Yield the documents of a file that holds many; a damaged one gives what it can. Without
        a suffix it is lines of JSON or of text, as it begins.
        """
        try:
            if suffix in COLUMN_SUFFIXES:
                yield from read_columns(file, suffix, name, self.fields, self.tally)
                return
            blocks = text_blocks(file, name, self.tally)
            if not suffix:
                start, blocks = beginning(blocks)
                suffix = ".jsonl" if start in ("{", "[") else ".txt"
            if suffix in _JSON_LINES:
                yield from read_json_lines(blocks, name, self.fields, self.tally)
            elif suffix in _TABLES:
                tabs = suffix == ".tsv"
                yield from read_table(blocks, name, self.fields, self.tally, tabs=tabs)
            else:
                yield from read_text_lines(blocks, name, self.tally)
        except (EOFError, OSError, ValueError) as error:
            # What a decompressor raises; an error of reading itself is told by its name.
            reason = "unreadable" if isinstance(error, PermissionError) else "damaged or cut short"
            self.tally.skip(f"{reason}, the rest was left", name)

    def _member(self, data: bytes, name: str, suffix: str) -> Iterator[Batch]:
        file = io.BytesIO(data)
        if self._is_table(suffix, is_named=False):
            yield from self._lines(file, suffix, name)
        elif suffix in _BINARY:
            self.tally.skip("binary", name)
        else:
            yield from self._document(file, name, suffix, is_named=False)

    def _document(self, file: BinaryIO, name: str, suffix: str, is_named: bool) -> Iterator[Batch]:
        head = file.read(SNIFFED)
        if is_binary(head):
            self.tally.skip("binary", name)
            return
        data = head
        if len(head) == SNIFFED:
            data += file.read(MAX_DOCUMENT_BYTES)
            if len(data) > MAX_DOCUMENT_BYTES:
                self.tally.skip(TOO_LARGE, name)
                return
        content, was_bad = decode(data, html=suffix in HTML_SUFFIXES)
        if is_named and suffix == ".json":
            batch = read_json_array(content, name, self.fields, self.tally)
            if batch is not None:
                yield batch
                return
        if self.markup == "text":
            content = to_text(content, suffix, self.tally)
        if not content or content.isspace():
            self.tally.skip("empty", name)
            return
        if was_bad:
            self.tally.badly_encoded.append(name)
        if self.tally.claim(None, name) is not None:
            yield Batch([name], [content], [name])


def _suffix(name: str) -> str:
    """Return `os.path.splitext(name)[1].lower()`, in a third of its time."""
    dot = name.rfind(".")
    start = name.rfind("/") + 1
    if dot <= start or not name[start:dot].strip("."):
        return ""
    return name[dot:].lower()
