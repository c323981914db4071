"""What the operating system says of this process and of the memory it may use.

The small files under /proc and /sys are read directly (a few microseconds, the interpreter lock
held); psutil, which costs tens of milliseconds to import, answers where there are none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from raudo._core.files import read_small

__all__ = [
    "available_memory_bytes",
    "bound_share",
    "container_memory",
    "machine_memory_bytes",
    "open_file_count",
    "peak_bytes",
    "resident_bytes",
    "thread_count",
    "unique_bytes",
]

_CGROUP = Path("/sys/fs/cgroup")
_STATM = "/proc/self/statm"


def resident_bytes() -> int:
    """Return the bytes of physical memory that the process holds now."""
    try:
        return int(read_small(_STATM).split()[1]) * _page_bytes()
    except (OSError, IndexError, ValueError):
        import psutil

        return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most bytes of physical memory that the process has held so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def thread_count() -> int:
    """Return how many threads of the system the process has."""
    try:
        # The name, in brackets, may hold anything; the count is the 20th field of them all.
        return int(read_small("/proc/self/stat").rpartition(b")")[2].split()[17])
    except (OSError, IndexError, ValueError):
        import psutil

        return int(psutil.Process().num_threads())


def open_file_count() -> int:
    """Return how many file descriptors, on Windows handles, the process has open."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # but for that of the listing
    except OSError:
        import psutil

        process: Any = psutil.Process()
        return int(process.num_fds() if hasattr(process, "num_fds") else process.num_handles())


def unique_bytes() -> int | None:
    """Return the bytes that no other process shares (USS): what its end would give back.

    The kernel walks the page tables for it, some milliseconds a gigabyte; None where there is none.
    """
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return None
    fields = (line.split() for line in text.splitlines())
    return 1024 * sum(int(each[1]) for each in fields if each[0].startswith("Private_"))


@lru_cache(maxsize=1)
def machine_memory_bytes() -> int:
    """Return the bytes of memory that the machine has."""
    try:
        name, kilobytes = read_small("/proc/meminfo").split()[:2]
        if name == b"MemTotal:":
            return 1024 * int(kilobytes)
    except (OSError, ValueError):
        pass
    import psutil

    return int(psutil.virtual_memory().total)


def container_memory(
    membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUP
) -> tuple[int, int] | None:
    """Return what the processes of the tightest cgroup use together, and its limit; None without
    one.

    Pages of files that the kernel drops before it would kill are not counted, as `docker stats`
    has it.
    """
    tightest: tuple[int, int] | None = None
    for folder, names in _memory_folders(membership, root):
        limit = _number_in(folder / names.limit)
        if limit is None or limit >= 2**62:  # v1 says "none" so
            continue
        used = _number_in(folder / names.usage)
        if used is None:
            continue
        if tightest is None or used / limit > tightest[0] / tightest[1]:
            reclaimable = _field_in(folder / "memory.stat", names.inactive)
            tightest = max(0, used - reclaimable), limit
    return tightest


def bound_share(free_bytes: int = 0) -> float:
    """Return the share of `RLIMIT_AS` or `RLIMIT_DATA` that the process uses, the larger one; 0.0
    where it has neither. `free_bytes` of its addresses hold nothing. Some 10 us."""
    bounds = [_rlimit("RLIMIT_AS"), _rlimit("RLIMIT_DATA")]
    if bounds == [None, None]:
        return 0.0
    try:
        fields = read_small(_STATM).split()
        used = [int(fields[at]) * _page_bytes() for at in (0, 5)]
    except (OSError, IndexError, ValueError):
        return 0.0
    return max(
        (n - free_bytes) / bound for n, bound in zip(used, bounds, strict=True) if bound is not None
    )


def _rlimit(name: str) -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = resource.getrlimit(getattr(resource, name))[0]
    return None if soft == resource.RLIM_INFINITY else max(1, soft)


@lru_cache(maxsize=1)
def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=1)
def available_memory_bytes() -> int:
    """Return the bytes the process may use: the machine's, or less where its cgroup says so.

    Read once: neither changes while a process runs, but for a container that is resized.
    """
    return min(machine_memory_bytes(), *_cgroup_limits(Path("/proc/self/cgroup")))


class _Names(NamedTuple):
    """What a version of cgroups calls its files, and the field of `memory.stat`."""

    limit: str
    usage: str
    inactive: str


_V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Names("memory.max", "memory.current", "inactive_file")


def _memory_folders(membership: Path, root: Path) -> Iterator[tuple[Path, _Names]]:
    """Yield the folders of the process's cgroup and of those above it (v2 and v1)."""
    try:
        lines = os.fsdecode(read_small(membership)).splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, _V2
        elif "memory" in controllers.split(","):
            base, names = root / "memory", _V1
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path is often that of the host and absent here: the root then
        # shows the container's own limit.
        while folder == base or base in folder.parents:
            yield folder, names
            folder = folder.parent


def _number_in(file: Path) -> int | None:
    try:
        text = read_small(file).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit at this level


def _field_in(file: Path, name: str) -> int:
    try:
        lines = read_small(file).decode().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)


def _cgroup_limits(membership: Path, root: Path = _CGROUP) -> list[int]:
    """Return the limits of the process's cgroup and of those above it; often none.

    The result starts with a bound that no machine reaches, so that it can always be unpacked.
    """
    found = (
        _number_in(folder / names.limit) for folder, names in _memory_folders(membership, root)
    )
    return [2**63, *(limit for limit in found if limit is not None)]
