"""`FileSource`: what paths lead to, one file after the other, and the documents of each.

A file is a document, a table of documents, or an archive of files.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from raudo.analysis.documents import BATCH_CHARS, BATCH_DOCUMENTS, Batch, Document
from raudo.analysis.sources.archives import (
    ARCHIVE_SUFFIXES,
    COMPRESSED,
    DAMAGED,
    members,
    opened,
)
from raudo.analysis.sources.columns import COLUMN_SUFFIXES, can_read_columns, read_columns
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
from raudo.analysis.sources.walking import STDIN, Listing, Walk

__all__ = ["FileSource"]

_BINARY = frozenset(
    ".7z .a .bin .bmp .bz2 .class .db .dll .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg "
    ".jpg .lib .lz4 .mo .mp3 .mp4 .npy .npz .o .ogg .otf .pdf .pickle .pkl .png .pyc "
    ".pyd .rar .so .sqlite .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 "
    ".xz .zip .zst".split()
)
# Read as records wherever they are; tables and text only where they are named, or a text field is.
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
_TABLES = frozenset({".csv", ".tsv"})


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
            if str(path) != STDIN and not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        self.fields = Fields(text_field, id_field)
        self.markup = markup
        self.tally = Tally()
        self._stdin = stdin
        self._walk = Walk(self.paths, exclude, self.tally)

    @property
    def options(self) -> list[str | None]:
        """What documents of a file depend on beside it."""
        return [self.fields.text, self.fields.id, self.markup]

    @property
    def skipped(self) -> dict[str, list[str]]:
        """Names of what was left out so far, by reason."""
        return self.tally.skipped

    @property
    def badly_encoded(self) -> list[str]:
        """Names of what was read as Latin-1, for want of a better encoding."""
        return self.tally.badly_encoded

    @property
    def notes(self) -> list[str]:
        """What a user should know of how it was read."""
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
        for listing in self.listings():
            for number in range(len(listing.names)):
                for part in self.read(listing, number):
                    batch.extend(part)
                    n_chars += sum(map(len, part.texts))
                    if n_chars >= batch_chars or len(batch) >= batch_documents:
                        yield batch
                        batch, n_chars = Batch(), 0
        if len(batch):
            yield batch

    # --- what there is ---------------------------------------------------------------------------

    def listings(self) -> Iterator[Listing]:
        """Yield the files to read, in order, without opening them."""
        return self._walk.listings()

    # --- what is in it ---------------------------------------------------------------------------

    def read(self, listing: Listing, number: int) -> Iterator[Batch]:
        """Yield the documents of one file of a listing, in batches of any size."""
        name = listing.folder + listing.names[number]
        if name == STDIN and listing.stamps is None:
            stdin = self._stdin if self._stdin is not None else sys.stdin.buffer
            # Its raw file has no lock that a thread could hold while the interpreter ends.
            yield from self._lines(getattr(stdin, "raw", stdin), "", "stdin")
            return
        try:
            with open(name, "rb", buffering=0) as raw:
                yield from self._opened(raw, name, listing.is_named, listing.stamps is None)
        except OSError:
            self.tally.skip("unreadable", name)

    def _opened(self, raw: io.FileIO, name: str, is_named: bool, is_pipe: bool) -> Iterator[Batch]:
        suffix = _suffix(name)
        if is_named and name.lower().endswith(ARCHIVE_SUFFIXES):
            size = os.fstat(raw.fileno()).st_size
            archive_suffix = ".zip" if suffix == ".zip" else ".tar"
            for member, data in members(raw, size, archive_suffix, name, self.tally):
                place = f"{name}/{member}"
                yield from self._member(data, place, _suffix(member))
        elif is_named and suffix in COMPRESSED:
            within = _suffix(name[: -len(suffix)])
            with opened(raw, suffix) as plain:
                yield from self._lines(plain, within, name)
        elif is_pipe:
            yield from self._lines(raw, suffix if self._is_table(suffix, True) else "", name)
        elif self._lacks_reader(suffix, name, is_named):
            return
        elif self._is_table(suffix, is_named):
            yield from self._lines(raw, suffix, name)
        elif suffix in _BINARY:
            self.tally.skip("binary", name)
        else:
            yield from self._document(raw, name, suffix, is_named)

    def _lacks_reader(self, suffix: str, name: str, is_named: bool) -> bool:
        """Skip a file that was not named and that pyarrow alone reads, where that is missing."""
        if is_named or suffix not in COLUMN_SUFFIXES or can_read_columns():
            return False
        self.tally.skip("needs pip install 'raudo[arrow]'", name)
        return True

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
        except DAMAGED as error:
            # What a decompressor raises; an error of reading itself is told by its name.
            reason = "unreadable" if isinstance(error, PermissionError) else "damaged or cut short"
            self.tally.skip(f"{reason}, the rest was left", name)

    def _member(self, data: bytes, name: str, suffix: str) -> Iterator[Batch]:
        file = io.BytesIO(data)
        if self._lacks_reader(suffix, name, is_named=False):
            return
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
            self.tally.misread(name)
        if self.tally.claim(None, name) is not None:
            yield Batch([name], [content], [name])


def _suffix(name: str) -> str:
    """Return `os.path.splitext(name)[1].lower()`, in a third of its time."""
    dot = name.rfind(".")
    start = name.rfind("/") + 1
    if dot <= start or not name[start:dot].strip("."):
        return ""
    return name[dot:].lower()
