"""The clock that tests turn by hand."""

from __future__ import annotations

import math
import threading

import pytest

from raudo.testing import FakeClock


def test_it_stands_still_until_told_to_move():
    clock = FakeClock(start=5.0)
    wall = clock.time_ns()
    assert clock.monotonic() == clock() == 5.0
    clock.advance(0.25)
    assert clock.monotonic() == clock() == 5.25
    assert clock.time_ns() - wall == 250_000_000
    assert repr(clock) == "FakeClock(5.25)"


def test_small_steps_add_up_exactly():
    clock = FakeClock()
    for _ in range(10):
        clock.advance(0.1)
    assert clock() == 1.0


@pytest.mark.parametrize("step", [-1, math.nan, math.inf])
def test_it_does_not_go_back(step):
    with pytest.raises(ValueError, match="seconds is"):
        FakeClock().advance(step)


def test_threads_may_turn_it_at_once():
    clock = FakeClock()
    threads = [
        threading.Thread(target=lambda: [clock.advance(0.001) for _ in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() == 4.0
