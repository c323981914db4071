"""The folder of a disk tier: private to its user, and owned by one cache at a time."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from raudo.errors import TierUnavailable

if sys.platform != "win32":
    import fcntl

__all__ = ["OwnedFolder"]

_LOCK_NAME = "lock"


class OwnedFolder:
    """A folder of mode 0700 with a lock file that this process holds.

    The lock is `flock`'s: it ends with the process, however that ends. `TierUnavailable` where
    another cache holds it, the folder is another user's, or it holds files of someone else's.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        if sys.platform == "win32":
            raise TierUnavailable("a level on disk needs a POSIX system")
        try:
            self._make()
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self.path / _LOCK_NAME, flags, 0o600)
        except TierUnavailable:
            raise
        except OSError as error:
            raise TierUnavailable(f"cannot use {self.path} for a cache: {error}") from error
        try:
            self._lock()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir(mode=0o700)
            return
        except FileExistsError:
            status = self.path.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise TierUnavailable(f"{self.path} is not a folder")
        if status.st_uid != os.geteuid():
            raise TierUnavailable(f"{self.path} belongs to another user, {status.st_uid}")
        if status.st_mode & 0o077:
            # Others could have written here. Never change the mode of a folder that is in use for
            # something else: a cache put into /tmp or a home folder would lock everybody out.
            names = os.listdir(self.path)
            if names and _LOCK_NAME not in names:
                raise TierUnavailable(
                    f"{self.path} is open to other users (mode {status.st_mode & 0o777:o}) and "
                    "holds files that are no cache's: give the cache a folder of its own"
                )
            self.path.chmod(0o700)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise TierUnavailable(
                f"{self.path} is in use by another cache (process {owner}): one process owns a "
                "disk tier's folder, give each its own or use a tier that processes share"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Give the folder up. Only closes the descriptor, so that a forked child cannot unlock."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
