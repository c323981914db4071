from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest

from raudo.concurrency.scaling import HillClimb

# Throughput of simulated backends, by how many workers call them.
BACKENDS: dict[str, Callable[[int], float]] = {
    "knee at 8": lambda n: min(n, 8),
    "knee at 20": lambda n: min(n, 20),
    "no knee": lambda n: n,
    "Amdahl, 5 % serial": lambda n: n / (1 + 0.05 * (n - 1)),
    "universal scalability law": lambda n: n / (1 + 0.02 * (n - 1) + 0.002 * n * (n - 1)),
    "thrashes over 10": lambda n: n if n <= 10 else max(1.0, 20.0 - n),
    "two cores": lambda n: min(n, 2),
    "one lock": lambda n: 1.0,
    "square root": lambda n: math.sqrt(n),
    "collapses over 16": lambda n: n if n <= 16 else 16 * math.exp(-(n - 16) / 6),
}


def run(
    backend: Callable[[int], float], climb: HillClimb, noise: float, n_windows: int
) -> tuple[list[int], list[float]]:
    """Return the limit and the throughput of each window."""
    chance = random.Random(7)
    limits, throughputs = [], []
    for _ in range(n_windows):
        limit = climb.limit
        throughput = backend(limit)
        limits.append(limit)
        throughputs.append(throughput)
        climb.record(4 * limit, 4 * limit / (throughput * math.exp(chance.gauss(0, noise))))
    return limits, throughputs


@pytest.mark.parametrize("start", [1, 32])
@pytest.mark.parametrize("name", BACKENDS)
def test_settles_near_the_best_throughput(name: str, start: int) -> None:
    backend = BACKENDS[name]
    limits, throughputs = run(backend, HillClimb(1, 32, start=start), 0.0, 200)
    best = max(map(backend, range(1, 33)))
    assert statistics.mean(throughputs[40:]) >= 0.9 * best
    enough = min(n for n in range(1, 33) if backend(n) >= 0.97 * best)
    assert statistics.mean(limits[40:]) <= 1.3 * enough + 0.5


@pytest.mark.parametrize("name", sorted(set(BACKENDS) - {"square root"}))
def test_withstands_noise(name: str) -> None:
    backend = BACKENDS[name]
    _, throughputs = run(backend, HillClimb(1, 32), 0.03, 300)
    assert statistics.mean(throughputs[60:]) >= 0.85 * max(map(backend, range(1, 33)))


def test_follows_a_knee_that_moves() -> None:
    climb = HillClimb(1, 32)
    run(BACKENDS["knee at 20"], climb, 0.0, 100)
    limits, _ = run(BACKENDS["two cores"], climb, 0.0, 100)
    assert statistics.mean(limits[60:]) <= 4
    _, throughputs = run(BACKENDS["knee at 20"], climb, 0.0, 150)
    assert statistics.mean(throughputs[100:]) >= 18


def test_small_notes_add_up_to_a_window() -> None:
    climb = HillClimb(1, 8)
    for _ in range(3):
        assert climb.record(1, 0.1) == 1
    assert climb.record(1, 0.1) == 2


def test_reset_window_forgets_the_unfinished_one() -> None:
    climb = HillClimb(1, 8)
    climb.record(3, 0.3)
    climb.reset_window()
    assert climb.record(3, 0.3) == 1
    assert climb.record(1, 0.1) == 2


def test_stays_within_its_bounds() -> None:
    for name, backend in BACKENDS.items():
        limits, _ = run(backend, HillClimb(3, 9), 0.1, 200)
        assert 3 <= min(limits) <= max(limits) <= 9, name
    limits, _ = run(BACKENDS["no knee"], HillClimb(1, 1), 0.0, 20)
    assert set(limits) == {1}


@pytest.mark.parametrize(("minimum", "maximum", "start"), [(0, 4, None), (5, 4, None), (1, 4, 5)])
def test_bad_bounds_are_named(minimum: int, maximum: int, start: int | None) -> None:
    with pytest.raises(ValueError, match="minimum"):
        HillClimb(minimum, maximum, start=start)
