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


def goodput(backends: dict[str, Callable[[int], float]], noise: float, start: int) -> list[float]:
    """Return for each backend the share of its best throughput, once there was time to search."""
    shares = []
    for backend in backends.values():
        _, throughputs = run(backend, HillClimb(1, 32, start=start), noise, 300)
        shares.append(statistics.mean(throughputs[60:]) / max(map(backend, range(1, 33))))
    return shares


def unseen(seed: int) -> dict[str, Callable[[int], float]]:
    """Draw ten backends of the shapes that services have."""
    chance = random.Random(seed)

    def hard(knee: int) -> Callable[[int], float]:
        return lambda n: min(n, knee)

    def serial(share: float) -> Callable[[int], float]:
        return lambda n: n / (1 + share * (n - 1))

    def law(a: float, b: float) -> Callable[[int], float]:
        return lambda n: n / (1 + a * (n - 1) + b * n * (n - 1))

    def thrash(knee: int, share: float) -> Callable[[int], float]:
        return lambda n: n if n <= knee else knee * max(0.05, 1 - share * (n - knee))

    def soft(width: float) -> Callable[[int], float]:
        return lambda n: 1 - math.exp(-n / width)

    made = [hard(chance.randint(1, 32)) for _ in range(3)]
    made += [serial(chance.uniform(0.02, 0.3)) for _ in range(2)]
    made += [law(chance.uniform(0, 0.06), chance.uniform(0.0003, 0.01)) for _ in range(2)]
    made += [thrash(chance.randint(3, 28), chance.uniform(0.02, 0.2)) for _ in range(2)]
    made += [soft(chance.uniform(1, 8))]
    return {str(i): backend for i, backend in enumerate(made)}


@pytest.mark.parametrize("start", [1, 32])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_reaches_the_best_goodput_of_ten_backends(noise: float, start: int) -> None:
    shares = goodput(BACKENDS, noise, start)
    assert statistics.mean(shares) >= 0.98
    assert min(shares) >= 0.95


@pytest.mark.parametrize("start", [1, 32])
def test_reaches_it_on_drawn_backends(start: int) -> None:
    # A constant of the search was chosen with seeds 0-19. These, drawn later, gave a mean of 0.985
    # and a worst of 0.928 (from 1 worker), and 0.987 and 0.946 (from 32).
    seeds = range(41_000, 41_020)
    shares = [share for seed in seeds for share in goodput(unseen(seed), 0.03, start)]
    assert statistics.mean(shares) >= 0.98
    assert statistics.quantiles(shares, n=20)[0] >= 0.95
    assert min(shares) >= 0.85


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
