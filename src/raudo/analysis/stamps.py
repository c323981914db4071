"""Stamps of files: what the system changes when somebody writes to one.

Times are those of the clock that the system stamps files with, which goes on in ticks of some
milliseconds: a file that is written twice within one may have the same stamp both times. So a stamp
tells nothing until the clock has gone on since (git calls such files racily clean).
"""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["Stamp", "now_ns", "stamp_of"]

# The start of the system, device, inode, bytes, times of content and of state in ns; () for none.
Stamp = tuple[str | int, ...]
# Another text after each start of the system, on Linux; elsewhere files have no stamps.
_STARTED = Path("/proc/sys/kernel/random/boot_id")


def now_ns() -> int:
    """Return the time as the system stamps files with it."""
    coarse = getattr(time, "CLOCK_REALTIME_COARSE", None)
    return time.time_ns() if coarse is None else time.clock_gettime_ns(coarse)


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file, () where a later write might not change it.

    It holds until the system is started anew: what was on its way to the disk then may be lost.
    """
    try:
        started = _STARTED.read_text().strip()
        found = path.stat()
    except OSError:
        return ()
    times = found.st_mtime_ns, found.st_ctime_ns
    if max(times) >= now_ns():
        return ()
    return (started, found.st_dev, found.st_ino, found.st_size, *times)
