"""The full distance matrix beside NumPy, SciPy, scikit-learn and faiss.

    python benchmarks/bench_similarity_distances.py            a table; --quick shows that it runs
    python -m pytest benchmarks/bench_similarity_distances.py --benchmark-sort=mean

The table interleaves all subjects, in an order shuffled from round to round, and checks every
result against SciPy's before anything is timed. Figures are medians of billions of operations a
second: two for each element pair of a product, `sqeuclidean` and `cosine` too, one for `cityblock`.
One thread; BENCH_THREADS=n sets another number for all. `reach` is what a product that stays in the
caches gets, packing included.
"""

from __future__ import annotations

import os

THREADS = int(os.environ.get("BENCH_THREADS", "1"))
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, str(THREADS))  # before NumPy loads its BLAS

import argparse  # noqa: E402
import gc  # noqa: E402
import importlib.util  # noqa: E402
import random  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402

from raudo._core import kernels  # noqa: E402
from raudo.similarity import pairwise_distances  # noqa: E402

Subject = Callable[[], Any]
METRICS = ("sqeuclidean", "cosine", "inner", "cityblock")


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def rounds_of(subjects: Mapping[str, Subject], n_rounds: int) -> dict[str, float]:
    """Return the median seconds of each subject, all of them once a round, in shuffled order."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    for subject in subjects.values():  # first touches of memory are not what is compared
        subject()
    gc.collect()
    gc.disable()
    try:
        for _ in range(n_rounds):
            random.shuffle(order)
            for name in order:
                started = time.perf_counter()
                subjects[name]()
                seconds[name].append(time.perf_counter() - started)
    finally:
        gc.enable()
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def print_row(label: str, names: list[str], figures: Mapping[str, float], unit: str) -> None:
    cells = [f"{figures[name]:>12.1f}" if name in figures else f"{'-':>12}" for name in names]
    print(f"{label:<28}{''.join(cells)}  {unit}", flush=True)


def rows(n: int, d: int, seed: int = 0, dtype: str = "f4") -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def numpy_matrix(x: Any, y: Any, metric: str) -> Any:
    """The usual trick: |a|^2 + |b|^2 - 2ab, which cancels for near rows."""
    if metric == "inner":
        return x @ y.T
    if metric == "cosine":
        return (
            1
            - (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T
        )
    return np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y) - 2 * (x @ y.T)


def subjects_of(metric: str, x: Any, y: Any) -> dict[str, Subject]:
    """Return every subject that has the metric; `out` is given where the subject takes it."""
    out = np.empty((len(x), len(y)), x.dtype)
    subjects: dict[str, Subject] = {
        "raudo": lambda: pairwise_distances(x, y, metric, out=out, n_jobs=THREADS)
    }
    if metric != "cityblock":
        subjects["numpy"] = lambda: numpy_matrix(x, y, metric)
    if metric != "inner":
        subjects["scipy"] = lambda: cdist(x, y, metric)
    if has("sklearn"):
        from sklearn import metrics

        names = {"sqeuclidean": "sqeuclidean", "cosine": "cosine", "cityblock": "cityblock"}
        if metric in names:
            subjects["sklearn"] = lambda: metrics.pairwise_distances(x, y, metric)
    if has("faiss"):
        import faiss

        faiss.omp_set_num_threads(THREADS)
        kinds = {
            "sqeuclidean": faiss.METRIC_L2,
            "inner": faiss.METRIC_INNER_PRODUCT,
            "cityblock": faiss.METRIC_L1,
        }
        if metric in kinds:
            subjects["faiss"] = lambda: faiss.pairwise_distances(x, y, kinds[metric])
    return subjects


def check(metric: str, subjects: Mapping[str, Subject], x: Any, y: Any) -> None:
    """Every subject must give SciPy's distances, to float32's digits."""
    wanted = x.astype(float) @ y.T.astype(float) if metric == "inner" else cdist(x, y, metric)
    for name, subject in subjects.items():
        np.testing.assert_allclose(
            subject(), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max(), err_msg=name
        )


def reach(n_rounds: int = 30) -> float:
    """Return billions of operations a second of one core on a product that stays in the caches."""
    x, y = rows(192, 256), rows(192, 256)
    out, shift = np.empty((192, 192), np.float32), np.zeros(256, np.float32)
    number = kernels.row_kernels().index("inner_f32")

    def work() -> None:
        for _ in range(20):
            kernels.pairwise_f32(x, y, out, shift, 0, False, number)

    seconds = rounds_of({"reach": work}, n_rounds)["reach"]
    return 20 * 2 * 192 * 192 * 256 / seconds / 1e9


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [64, 256, 768])
@pytest.mark.parametrize("subject", ["raudo", "numpy", "scipy", "sklearn", "faiss"])
def bench_matrix(
    benchmark: Any, sized: Callable[[int], int], metric: str, d: int, subject: str
) -> None:
    n = min(2000, 20 * sized(2000))
    x, y = rows(n, d), rows(n, d, 1)
    subjects = subjects_of(metric, x, y)
    if subject not in subjects:
        pytest.skip(f"{subject} is not installed, or has no {metric}")
    benchmark.group = f"{metric}, {n} x {n} x {d} float32"
    check(metric, {subject: subjects[subject]}, x, y)
    benchmark(subjects[subject])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that it runs, not figures")
    quick = parser.parse_args().quick
    n, n_rounds = (300, 2) if quick else (4000, 9)
    names = ["raudo", "numpy", "faiss", "sklearn", "scipy"]
    print(f"{n} x {n} float32, {THREADS} thread(s), {kernels.isa()}; reach {reach():.0f} Gop/s")
    print(f"{'':<28}{''.join(f'{name:>12}' for name in names)}")
    for metric in METRICS:
        for d in (64, 128, 256, 768):
            x, y = rows(n, d), rows(n, d, 1)
            subjects = subjects_of(metric, x, y)
            check(metric, subjects, x, y)
            seconds = rounds_of(subjects, n_rounds)
            operations = (1 if metric == "cityblock" else 2) * n * n * d
            figures = {name: operations / taken / 1e9 for name, taken in seconds.items()}
            print_row(f"{metric}, d={d}", names, figures, "Gop/s")


if __name__ == "__main__":
    main()
