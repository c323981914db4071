"""One case under one tool, in a process of its own and under a watchdog.

python -m behaviour.cell raudo exit         # with tests/ and src/ on the path
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

__all__ = ["measure"]

TESTS = Path(__file__).parents[1]


def measure(tool: str, case: str, seconds: float = 20.0) -> str:
    """Return "yes", or what went wrong: what the case saw, "hangs", "leaves processes", ..."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    program = subprocess.Popen(
        [sys.executable, "-m", "behaviour.cell", tool, case],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "BEHAVIOUR_TOOL": tool},
        start_new_session=True,
    )
    try:
        try:
            out, err = program.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as late:
            said = _verdict((late.stdout or b"").decode())
            return "hangs" if said is None else "hangs at its end" if said == "yes" else said
        verdict = _verdict(out)
        if verdict is None:
            last = (err.strip().splitlines() or [f"exit code {program.returncode}"])[-1]
            return f"dies ({last.partition(':')[0]:.40})"
        if verdict == "yes" and _is_left(program.pid):
            return "leaves processes"
        return verdict
    finally:
        _end_session(program.pid)
        program.communicate()


def _verdict(out: str) -> str | None:
    lines = [line for line in out.splitlines() if line.startswith("verdict: ")]
    return lines[-1].removeprefix("verdict: ") if lines else None


def _session(sid: int) -> list[psutil.Process]:
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == sid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def _is_left(sid: int) -> bool:
    """Say whether processes of the session outlive it by more than a moment."""
    until = time.monotonic() + 2
    while _session(sid):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def _end_session(sid: int) -> None:
    for each in _session(sid):
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def main() -> None:
    from behaviour.cases import CASES, OURS_ONLY
    from behaviour.tools import TOOLS

    tool, case = sys.argv[1:]
    try:
        verdict = {**CASES, **OURS_ONLY}[case][1](TOOLS[tool][1], tool)
    except Exception as error:
        verdict = type(error).__name__
    print(f"verdict: {verdict}", flush=True)


if __name__ == "__main__":
    main()
