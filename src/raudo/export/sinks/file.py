"""Local files: written aside in the same folder, synced, then renamed into place."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from typing import Any, BinaryIO, NamedTuple

from raudo._core.files import start_writing

__all__ = ["FileSink"]


EAGER_BYTES = 8 << 20


class _EagerFile(io.FileIO):
    """Has the disk take what was written every few megabytes, so that the last fsync is short."""

    _fresh_bytes = 0

    def write(self, data: Any, /) -> int:
        n_bytes = super().write(data)
        self._fresh_bytes += n_bytes
        if self._fresh_bytes >= EAGER_BYTES:
            start_writing(self.fileno(), self.tell() - self._fresh_bytes, self._fresh_bytes)
            self._fresh_bytes = 0
        return n_bytes


class _Aside(NamedTuple):
    name: str
    """What it is called before it has its place."""
    target: str
    handle: int
    """A second descriptor: of an unnamed file nothing else is left once the first is closed."""
    is_named: bool


def _open_aside(folder: str, name: str) -> tuple[io.FileIO, bool]:
    """Open a file in the folder, without a name where that can be; say whether it has one."""
    flag = getattr(os, "O_TMPFILE", 0)
    if flag and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not on every file system; `open` tells what is wrong
            handle = os.open(folder or ".", flag | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            return _EagerFile(handle, "wb"), False
    return _EagerFile(name, "xb"), True


class FileSink:
    """Writes a file aside in the target's folder and renames it; readers see the old or the new.

    A file that replaces another takes over its mode. The bytes are on the disk (fsync) before the
    rename, so that a power cut does not leave the new name with no content. On Linux the file has
    no name until it is complete, and a process that is killed leaves nothing; elsewhere it may
    leave `.<name>.<random>.part`.
    """

    def __init__(self) -> None:
        self._aside: dict[str, _Aside] = {}

    def open(self, path: str) -> BinaryIO:
        target = os.path.realpath(path)
        if os.path.exists(target) and not os.path.isfile(target):
            raise IsADirectoryError(21, "not a regular file", path)
        folder, base = os.path.split(target)
        name = os.path.join(folder, f".{base[:200]}.{secrets.token_hex(4)}.part")
        file, is_named = _open_aside(folder, name)
        self._aside[path] = _Aside(name, target, os.dup(file.fileno()), is_named)
        return io.BufferedWriter(file, 1 << 18)

    def commit(self, path: str) -> None:
        aside = self._aside[path]
        os.fsync(aside.handle)
        with contextlib.suppress(FileNotFoundError):  # who could not read the old one still cannot
            os.fchmod(aside.handle, stat.S_IMODE(os.stat(aside.target).st_mode))
        if not aside.is_named:
            # A link cannot replace a file, a rename can. Python follows the symbolic link only
            # where a folder is given, which an absolute path makes no use of.
            os.link(f"/proc/self/fd/{aside.handle}", aside.name, src_dir_fd=aside.handle)
        os.replace(aside.name, aside.target)
        os.close(aside.handle)
        del self._aside[path]

    def abort(self, path: str) -> None:
        aside = self._aside.pop(path, None)
        if aside is not None:
            os.close(aside.handle)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside.name)
