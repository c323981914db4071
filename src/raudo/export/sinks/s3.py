"""S3 and what speaks its protocol: an upload in parts that becomes an object when it is committed.

Until then it has no name, so that nothing is copied and nobody sees a half. What fits in one part
goes in one request. Requests are s3fs's: its credentials, retries and settings hold.

An upload that is neither committed nor aborted (the process is killed, the server away for good)
keeps its parts, unseen, until the bucket's rule for incomplete uploads removes them.
"""

from __future__ import annotations

import errno
import io
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from raudo.errors import MissingExtra

__all__ = ["S3Sink", "told_as_os_error"]

PART_BYTES = 8 << 20
# An object has 10,000 parts at most and 5 TB: parts grow as it does, twice every thousand.
PARTS_OF_ONE_SIZE = 1000
IN_FLIGHT = 3

_HEADERS = {
    "Cache-Control": "CacheControl",
    "Content-Encoding": "ContentEncoding",
    "Content-Type": "ContentType",
}


@contextmanager
def told_as_os_error() -> Iterator[None]:
    """Turn what clients raise of their own (of botocore nothing is an OSError) into `OSError`."""
    try:
        yield
    except (OSError, MissingExtra):
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


class _Upload(io.RawIOBase):
    """Takes bytes in order and sends them in parts, `IN_FLIGHT` at once.

    Holds `IN_FLIGHT + 1` parts at most, and what a caller writes at once. By one thread at a time.
    """

    def __init__(self, system: Any, path: str, headers: Mapping[str, str]) -> None:
        self._system, self._path, self._headers = system, path, headers
        self._bucket, self._key, _ = system.split_path(path)
        if not self._key:
            raise OSError(errno.EISDIR, "a bucket, not an object", path)
        is_fixed = getattr(system, "fixed_upload_size", False)  # some stores want equal parts
        self._first_part_bytes = system.default_block_size if is_fixed else PART_BYTES
        self._grows = not is_fixed
        self._waiting = bytearray()
        self._id: str | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[Future[dict[str, Any]]] = deque()
        self._parts: list[dict[str, Any]] = []
        self._n_sent, self._has_failed = 0, False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self._has_failed:
            raise OSError(errno.EIO, "the upload has failed", self._path)
        self._waiting += data
        while len(self._waiting) > (size := self._part_bytes()):
            with memoryview(self._waiting) as view:
                part = bytes(view[:size])
            del self._waiting[:size]
            self._send(part)
        return memoryview(data).nbytes

    def _part_bytes(self) -> int:
        doublings = self._n_sent // PARTS_OF_ONE_SIZE if self._grows else 0
        return cast(int, self._first_part_bytes << doublings)

    def _send(self, part: bytes) -> None:
        try:
            with told_as_os_error():
                if self._pool is None:
                    made = self._call("create_multipart_upload", **self._headers)
                    self._id = made["UploadId"]
                    self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="raudo-upload")
                while len(self._flying) >= IN_FLIGHT:
                    self._settle()
                self._n_sent += 1
                self._flying.append(self._pool.submit(self._put_part, self._n_sent, part))
        except BaseException:
            self._has_failed = True
            raise

    def _put_part(self, number: int, part: bytes) -> dict[str, Any]:
        done = self._call("upload_part", UploadId=self._id, PartNumber=number, Body=part)
        sums = {name: done[name] for name in done if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": done["ETag"], **sums}

    def _settle(self) -> None:
        self._parts.append(self._flying.popleft().result())

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._system.call_s3(method, Bucket=self._bucket, Key=self._key, **arguments)

    def close(self) -> None:
        """Send the rest, unless it is all there is: then `commit` does."""
        if not self.closed and self._pool is not None and not self._has_failed:
            if self._waiting:
                self._send(bytes(self._waiting))
                self._waiting.clear()
            try:
                with told_as_os_error():
                    while self._flying:
                        self._settle()
            except BaseException:
                self._has_failed = True
                raise
            self._pool.shutdown()
        super().close()

    def __del__(self) -> None:
        """Send nothing, as `IOBase` would: an upload that was dropped has been aborted."""

    def commit(self) -> None:
        with told_as_os_error():
            if self._id is None:
                self._system.pipe_file(self._path, bytes(self._waiting), **self._headers)
            else:
                parts = {"Parts": self._parts}
                self._call("complete_multipart_upload", UploadId=self._id, MultipartUpload=parts)
                self._id = None
            self._system.invalidate_cache(self._path)
            self._system.invalidate_cache(self._path.rpartition("/")[0])

    def abort(self) -> None:
        self._has_failed = True
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._id is not None:
            upload, self._id = self._id, None
            with told_as_os_error():  # after the parts under way, which would outlive it
                self._call("abort_multipart_upload", UploadId=upload)


class S3Sink:
    """Uploads in parts; readers see the old object or the new one.

    Args:
        options: For s3fs (`endpoint_url`, `key`, `secret`, `client_kwargs`, ...).
        headers: What is answered with the object: `Cache-Control`, `Content-Type`,
            `Content-Encoding`; others become metadata (`x-amz-meta-...`).
        system: The file system that paths are of, in place of URLs. fsspec makes one for each
            thread, with connections of its own: sinks of many threads are to be given one.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        system: Any = None,
    ) -> None:
        try:
            import s3fs  # noqa: F401
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise MissingExtra("exporting to S3", "s3") from error
        self._url_to_fs, self._options, self._system = url_to_fs, dict(options or {}), system
        headers = headers or {}
        self._headers: dict[str, Any] = {
            known: headers[name] for name, known in _HEADERS.items() if name in headers
        }
        if others := {name: headers[name] for name in headers if name not in _HEADERS}:
            self._headers["Metadata"] = others
        self._uploads: dict[str, _Upload] = {}

    def open(self, path: str) -> BinaryIO:
        system, target = self._system, path
        if system is None:
            system, target = self._url_to_fs(path, **self._options)
        self._uploads[path] = upload = _Upload(system, target, self._headers)
        return cast(BinaryIO, upload)

    def commit(self, path: str) -> None:
        self._uploads[path].commit()
        del self._uploads[path]

    def abort(self, path: str) -> None:
        upload = self._uploads.pop(path, None)
        if upload is not None:
            upload.abort()
