"""Runs each script of this folder in a process of its own; it fails by an assertion or a signal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted(
    path.name for pattern in ("leak_*.py", "crash_*.py") for path in HERE.glob(pattern)
)


@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_ends_well(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", HERE / script],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-3000:]}"
