"""Ctrl-C while coroutines, threads and processes work: the program ends and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

PROGRAM = """
import asyncio, os, sys, time
from raudo.concurrency import AsyncProcessor

def busy(i):
    print(os.getpid(), flush=True)
    time.sleep(600)

def short(i):
    time.sleep(0.05)

async def main():
    async with AsyncProcessor(4) as processor:
        waiting = asyncio.create_task(processor.process_batch([(asyncio.sleep, (600,))] * 4))
        short_tasks = [(short, (0,))] * 10_000
        threads = asyncio.create_task(processor.process_batch(short_tasks, 2, kind="thread"))
        try:
            await processor.process_batch([(busy, (i,)) for i in range(2)], kind="process")
        finally:
            for task in (waiting, threads):
                task.cancel()

if __name__ == "__main__":
    asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_interrupt_ends_the_program_and_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        try:
            workers = [int(program.stdout.readline())]
            os.killpg(program.pid, signal.SIGINT)  # as a terminal does it: to all of them
            _, errors = program.communicate(timeout=30)
        finally:
            program.kill()
    assert "KeyboardInterrupt" in errors
    assert "never retrieved" not in errors
    assert program.returncode in (-signal.SIGINT, 130, 1)
    assert not any(map(is_alive, workers))
