"""Checks that a test leaves no process, thread or descriptor behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from raudo.concurrency._workers.launch import fork_server


def _descriptors() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    control = fork_server.control_fd
    return {each for each in found if "/proc/" not in each and not each.startswith(f"{control} ")}


def _processes() -> set[psutil.Process]:
    """Return the processes below this one but for the fork server, which stays."""
    found = psutil.Process().children(recursive=True)
    return {each for each in found if each.pid != fork_server.pid}


def _threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("raudo")}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Compare before and after; what is on its way out has a few seconds for it."""
    descriptors, threads, processes = _descriptors(), _threads(), _processes()
    yield
    gc.collect()
    until = time.monotonic() + 10.0
    while True:
        left = (
            _processes() - processes,
            _threads() - threads,
            _descriptors() - descriptors,
        )
        if not any(left) or time.monotonic() > until:
            break
        time.sleep(0.01)
    assert not any(left)
