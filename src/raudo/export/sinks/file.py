"""Local files: written aside in the same folder, synced, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import BinaryIO

__all__ = ["FileSink"]


class FileSink:
    """Writes `.<name>.<random>.part` beside the target and renames it; readers see old or new.

    A file that replaces another takes over its mode. The bytes are on the disk (fsync) before the
    rename, so that a power cut does not leave the new name with no content. A process that is
    killed may leave a `.part` file behind.
    """

    def __init__(self) -> None:
        self._aside: dict[str, tuple[str, str]] = {}

    def open(self, path: str) -> BinaryIO:
        target = os.path.realpath(path)
        if os.path.exists(target) and not os.path.isfile(target):
            raise IsADirectoryError(21, "not a regular file", path)
        folder, name = os.path.split(target)
        aside = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.part")
        file = open(aside, "xb", buffering=1 << 18)  # noqa: SIM115  (the pipeline closes it)
        self._aside[path] = (aside, target)
        return file

    def commit(self, path: str) -> None:
        aside, target = self._aside[path]
        handle = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        with contextlib.suppress(FileNotFoundError):  # who could not read the old one still cannot
            os.chmod(aside, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(aside, target)
        del self._aside[path]

    def abort(self, path: str) -> None:
        aside, _ = self._aside.pop(path, ("", ""))
        if aside:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
