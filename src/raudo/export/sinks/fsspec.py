"""Anything that fsspec knows (memory, GCS, SFTP, ...): written aside, then moved into place.

Not every file system of fsspec can hold back a file until it is committed, but all of them can
move one; on an object store that is a copy on the server's side.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from raudo.errors import MissingExtra

__all__ = ["FsspecSink"]


class FsspecSink:
    """Writes `<path>.<random>.part` and moves it; readers see the old object or the new one.

    Paths are URLs, or of the `system` where one is given.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, system: Any = None) -> None:
        try:
            import fsspec.core
        except ImportError as error:
            raise MissingExtra("exporting to a URL", "s3") from error
        self._url_to_fs, self._options = fsspec.core.url_to_fs, dict(options or {})
        self._system = system
        self._aside: dict[str, tuple[Any, str, str]] = {}

    def open(self, path: str) -> BinaryIO:
        system, target = self._system, path
        if system is None:
            system, target = self._url_to_fs(path, **self._options)
        aside = f"{target}.{secrets.token_hex(4)}.part"
        file = system.open(aside, "wb")
        self._aside[path] = (system, aside, target)
        return cast(BinaryIO, file)

    def commit(self, path: str) -> None:
        system, aside, target = self._aside[path]
        system.mv(aside, target)
        del self._aside[path]

    def abort(self, path: str) -> None:
        system, aside, _ = self._aside.pop(path, (None, "", ""))
        if system is not None and system.exists(aside):
            system.rm(aside)
