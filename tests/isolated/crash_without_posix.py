"""Caches in memory, pools, similarity, export and monitoring need nothing of POSIX.

Windows is not at hand: what Python lacks there is taken away here, modules and names alike. That
the C compiles there is seen by `make portable`.
"""

from __future__ import annotations

import asyncio
import mmap
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import scipy.sparse

# They look at the system themselves, and are there before it is another.
_ = (asyncio, mmap, multiprocessing, subprocess, psutil, scipy.sparse)

MODULES = "fcntl grp posix pwd resource termios raudo._core.pages raudo._core.walk"
NAMES = """
    fork forkpty register_at_fork sched_getaffinity sched_setaffinity pread preadv pwrite pwritev
    posix_fadvise geteuid getuid fchmod fchown killpg sysconf statvfs O_NOFOLLOW O_CLOEXEC
    O_DIRECTORY mkfifo uname RWF_NOWAIT
"""
SIGNALS = "SIGKILL SIGCHLD SIGUSR1 SIGHUP SIGALRM pthread_sigmask pthread_kill setitimer"


def become_windows() -> None:
    for name in MODULES.split():
        sys.modules[name] = None  # type: ignore[assignment]
    for owner, names in ((os, NAMES), (signal, SIGNALS)):
        for name in names.split():
            if hasattr(owner, name):
                delattr(owner, name)
    sys.platform = "win32"


def use_everything() -> None:
    import raudo.compat.cachetools
    import raudo.export
    import raudo.memory
    import raudo.monitoring
    import raudo.similarity
    from raudo import Cache, ObjectPool, SmartCache, lru_cache

    cache: Cache[int, int] = Cache(10)
    for i in range(20):
        cache[i] = i
    assert len(cache) == 10
    assert lru_cache(lambda x: x + 1)(1) == 2
    for levels in ((0.5, 0.5, 0.0), (0.2, 0.3, 0.5)):
        with SmartCache(10, levels=levels) as smart:
            for i in range(40):
                smart.set_nowait(i, [i])
            assert smart.get_nowait(39) == [39]
    assert ObjectPool(list).acquire() == []
    x = np.eye(4, dtype=np.float32)
    assert raudo.similarity.pairwise_distances(x, x).shape == (4, 4)


become_windows()
use_everything()
