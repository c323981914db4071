"""What the operating system says of this process and of the memory it may use.

The small files under /proc and /sys are read directly (a few microseconds); psutil, which costs
tens of milliseconds to import, answers where there are none.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

__all__ = ["available_memory_bytes", "resident_bytes"]

_CGROUP = Path("/sys/fs/cgroup")
_STATM = "/proc/self/statm"


def resident_bytes() -> int:
    """Return the bytes of physical memory that the process holds now."""
    try:
        with open(_STATM, "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _page_bytes()
    except (OSError, IndexError, ValueError):
        import psutil

        return int(psutil.Process().memory_info().rss)


@lru_cache(maxsize=1)
def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=1)
def available_memory_bytes() -> int:
    """Return the bytes the process may use: the machine's, or less where its cgroup says so.

    Read once: neither changes while a process runs, but for a container that is resized.
    """
    import psutil

    return min(int(psutil.virtual_memory().total), *_cgroup_limits(Path("/proc/self/cgroup")))


def _cgroup_limits(membership: Path, root: Path = _CGROUP) -> list[int]:
    """Return the limits of the process's cgroup and of those above it (v2 and v1); often none.

    The result starts with a bound that no machine reaches, so that it can always be unpacked.
    """
    limits = [2**63]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return limits
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path is often that of the host and absent here: the root then
        # shows the container's own limit.
        while folder == base or base in folder.parents:
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                text = "max"
            if text.isdigit():  # "max": no limit at this level
                limits.append(int(text))
            folder = folder.parent
    return limits
