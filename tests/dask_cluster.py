"""A real Dask cluster for tests: a scheduler and workers, processes of their own on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

START_S = 60.0
ROOT = Path(__file__).resolve().parent.parent  # by which tests' modules are known


class Cluster:
    """One scheduler and its workers, whose nannies start them again; ended with all they started.

    Dask gives a task up after the second worker that dies of it, not the fourth, as each costs a
    second here.
    """

    def __init__(self, folder, n_workers=2):
        from distributed import Client

        self._folder = folder
        self._processes = []
        found = folder / "scheduler.json"
        where = ["--scheduler-file", str(found), "--no-dashboard"]
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show", *where)
        self._until(found.exists)
        for _ in range(n_workers):
            folders = ["--local-directory", str(folder)]
            self._start("worker", "--nthreads", "1", "--host", "127.0.0.1", *folders, *where)
        self.client = Client(scheduler_file=str(found), set_as_default=False)
        self._until(lambda: len(self.client.nthreads()) == n_workers)
        self.address = self.client.scheduler.address

    def _start(self, what, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        env = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        with open(self._folder / f"{what}.log", "ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdout=log, stderr=log, env=env, cwd=ROOT, start_new_session=True
                )
            )

    def _until(self, is_done):
        until = time.monotonic() + START_S
        while not is_done():
            if time.monotonic() > until or any(each.poll() is not None for each in self._processes):
                logs = [each.read_text()[-1500:] for each in self._folder.glob("*.log")]
                self.stop()
                raise RuntimeError("\n".join(logs))
            time.sleep(0.02)

    def stop(self):
        if client := getattr(self, "client", None):
            client.close()
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):  # its nannies' workers are of its session
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
