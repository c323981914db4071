"""How many CPUs this process may use."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from raudo.concurrency._workers import worker

__all__ = ["usable_cpus"]


@functools.cache
def _quota() -> int | None:
    """Return the CPUs that a container's quota amounts to, rounded up; None without one."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, -(-int(limit) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def usable_cpus() -> int:
    """Return the CPUs in this process's affinity mask, or fewer if a container's quota says so.

    One in a worker process: its siblings have the others, and work that nests is not to multiply.
    """
    if worker.is_worker():
        return 1
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    quota = _quota()
    return allowed if quota is None else min(allowed, quota)
