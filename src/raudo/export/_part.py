"""One file of an export: writer, compressor, counter and sink, and their order of closing."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, BinaryIO, cast

from raudo.errors import BadRow, ExportError, RaudoError
from raudo.export._behind import Behind
from raudo.export.compression import CompressedFile
from raudo.export.sinks import sink_for
from raudo.types import Format

__all__ = ["Part", "as_export_error"]


class _Counted(io.RawIOBase):
    """Counts, and on demand hashes, the bytes on their way to a file, which it does not close."""

    def __init__(self, file: BinaryIO, hashed: bool) -> None:
        self._file, self._end = file, 0
        self.digest = hashlib.sha256() if hashed else None
        self.is_dropped = False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        # A format that goes back to change its header would make the digest a lie.
        return self.digest is None and self._file.seekable()

    def write(self, data: Any, /) -> int:
        n_bytes = memoryview(data).nbytes
        if self.is_dropped:
            return n_bytes
        self._file.write(data)
        if self.digest is not None:
            self.digest.update(data)
        self._end += n_bytes
        return n_bytes

    def tell(self) -> int:
        return self._file.tell() if self.seekable() else self._end

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def size(self) -> int:
        return self._file.seek(0, io.SEEK_END) if self.seekable() else self._end


@contextlib.contextmanager
def as_export_error(path: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, with the path that was asked for."""
    try:
        yield
    except RaudoError:
        raise
    except OSError as error:
        text = error.strerror or str(error) or type(error).__name__
        raise ExportError(error.errno, text, path) from error


class Part:
    """Writes one file aside. Use by one thread at a time: `write`..., `finish`, then `commit`.

    `abort` drops it at any point; it is safe to call after any error, and twice. With `behind`, a
    pool, its threads compress and write what the caller's thread encodes.
    """

    def __init__(
        self,
        path: str,
        format: Format,
        outer: str,
        hashed: bool,
        behind: Executor | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._pool = behind
        self._behind: Behind | None = None
        self.path, self.rows, self.bytes, self.sha256 = path, 0, 0, ""
        self._format, self._outer, self._hashed = format, outer, hashed
        self._sink, self._place = sink_for(path, options)
        self._closers = contextlib.ExitStack()
        self._writer: Any = None
        self._packed: CompressedFile | None = None
        self._counted: _Counted | None = None

    def open(self, sample: Sequence[Any]) -> None:
        with as_export_error(self.path):
            self._file = self._sink.open(self._place)
            self._closers.callback(self._file.close)
            stream: Any = _Counted(self._file, self._hashed)
            self._counted = stream
            if self._outer != "none":
                stream = self._packed = CompressedFile(
                    cast(BinaryIO, stream), self._outer, self._pool
                )
            if self._pool is not None:
                stream = self._behind = Behind(cast(BinaryIO, stream), self._pool)
            self._writer = self._format.open(cast(BinaryIO, stream), sample)

    def write(self, rows: Sequence[Any], first: int = 0) -> None:
        """Write rows; `first` is the number of the first of them in the whole export."""
        try:
            with as_export_error(self.path):
                self._writer.write(rows)
        except BadRow as bad:
            bad.row += first
            raise
        self.rows += len(rows)

    def finish(self) -> None:
        """Complete the file, still aside."""
        with as_export_error(self.path):
            writer, self._writer = self._writer, None
            writer.close()
            if self._behind is not None:
                self._behind.flush()
            if self._packed is not None:
                self._packed.finish()
            assert self._counted is not None, "it was opened"
            self.bytes = self._counted.size()
            if self._counted.digest is not None:
                self.sha256 = self._counted.digest.hexdigest()
            self._closers.close()

    def commit(self) -> None:
        """Put the file in its place."""
        with as_export_error(self.path):
            self._sink.commit(self._place)

    def abort(self) -> None:
        # What cannot be closed or dropped must not hide why the export failed.
        if self._behind is not None:
            self._behind.stop()
        if self._counted is not None:
            self._counted.is_dropped = True  # what a writer still does when it is closed
        with contextlib.suppress(Exception):
            if self._writer is not None:
                writer, self._writer = self._writer, None
                writer.close()
        with contextlib.suppress(Exception):
            self._closers.close()
        with contextlib.suppress(Exception):
            self._sink.abort(self._place)
