"""Eight threads of everything at once, on every strategy: nothing lost, no deadlock.

Short by default; RAUDO_SOAK_SECONDS=60 (or `make soak`) works that long on each strategy.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.soak import soak
from core.strategies import COMPILED
from core.test_python_policy import Bypassing, PythonLru

SECONDS = float(os.environ.get("RAUDO_SOAK_SECONDS", "0"))


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parallel_threads(1)  # they bring their own threads
@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.parametrize(
    "make",
    [*(lambda name=name: name for name in COMPILED), PythonLru, Bypassing],
    ids=[*COMPILED, PythonLru.name, Bypassing.name],
)
def test_the_books_balance_after_everything_at_once(make: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    n_seeds = soak(make, seeds=lambda: time.monotonic() < end, n_steps=1_500 if SECONDS else 800)
    if SECONDS:
        print(f"{n_seeds} seeds", end=" ")
