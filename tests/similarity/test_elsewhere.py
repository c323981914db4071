"""Arrays that are not NumPy's: the same distances, in kind, on the device where they lie.

array-api-strict stands for a library that keeps to the standard; its `device1` is one that NumPy
cannot see. PyTorch, where it is installed, is told that NumPy does not see its arrays either, so
that they go the way of those on a GPU.
"""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raudo.similarity import (
    FlatIndex,
    Metric,
    _device,
    _elsewhere,
    nearest,
    pairs_within,
    pairwise_distances,
)

strict = pytest.importorskip("array_api_strict")
METRICS = ("sqeuclidean", "euclidean", "cosine", "inner", "cityblock", "hamming", "jaccard")


class Strict:
    def __init__(self, device):
        self.device = strict.Device(device)

    def make(self, array):
        return strict.asarray(np.asarray(array), device=self.device)

    def fetch(self, array):
        assert type(array) is type(strict.zeros(1))
        assert array.device == self.device
        return np.asarray(strict.asarray(array, device=strict.Device("CPU_DEVICE")))


class Torch:
    def __init__(self):
        import torch

        self.torch = torch

    def make(self, array):
        return self.torch.tensor(np.asarray(array))

    def fetch(self, array):
        assert type(array) is self.torch.Tensor
        return array.detach().numpy()


LIBRARIES = ["strict", "strict on a device"]
if importlib.util.find_spec("torch") is not None:  # gigabytes, and no part of the extra `test`
    LIBRARIES += ["torch", "torch on a device"]


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch):
    is_apart = request.param.endswith("device")
    if request.param.startswith("torch"):
        made = Torch()
        if is_apart:
            monkeypatch.setattr(_elsewhere, "_is_seen_by_numpy", lambda array: False)
    else:
        made = Strict("device1" if is_apart else "CPU_DEVICE")
    made.is_apart = is_apart
    return made


def rows_of(kind, q=13, n=37, d=19):
    random = np.random.default_rng(5)
    if kind.startswith("float"):
        x, y = (random.standard_normal((m, d)).astype(kind) + 3 for m in (q, n))
        x[0] = 0
        y[5] = x[1] * np.float32(1.00001)  # near: here the expanded form loses its digits
        y[9] = np.nan
    elif kind == "bool":
        x, y = (random.random((m, d)) > 0.5 for m in (q, n))
    else:
        limits = np.iinfo(kind)
        x, y = (random.integers(limits.min, limits.max, (m, d)).astype(kind) for m in (q, n))
    y[3] = x[1]
    return x, y


def assert_near(got, wanted, metric):
    assert got.dtype == wanted.dtype
    # Where a 32nd is left of what is expanded, it has 32 times the rounding: NumPy's too.
    rounding = 200 * np.finfo(wanted.dtype).eps
    # A cosine is taken from 1: of doubles that leaves four roundings of 1; the sums of floats are
    # doubles and leave next to none.
    of_one = 0.02 if wanted.dtype == np.float64 else 1e-6
    scale = {"inner": np.nanmax(abs(wanted), initial=0), "cosine": of_one}.get(metric, 0)
    np.testing.assert_allclose(got, wanted, rtol=rounding, atol=rounding * scale)


@pytest.mark.parametrize("kind", ["float32", "float64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_distances_are_those_of_numpy(library, metric, kind):
    x, y = rows_of(kind)
    there = library.make(x), library.make(y)
    wanted = pairwise_distances(x, y, metric)
    found = nearest(x, y, 7, metric)
    for work_bytes in (None, 3000):  # at once, and in many blocks
        got = pairwise_distances(*there, metric, work_bytes=work_bytes)
        assert_near(library.fetch(got), wanted, metric)
        ids, distances = map(library.fetch, nearest(*there, 7, metric, work_bytes=work_bytes))
        assert_near(distances, found.distances, metric)
        # Names may differ only where distances do by rounding.
        of_ids = np.take_along_axis(wanted, ids, axis=1)
        assert_near(np.where(ids < 0, np.nan, of_ids), found.distances, metric)
    own = library.fetch(pairwise_distances(there[0], metric=metric))
    assert_near(own, pairwise_distances(x, metric=metric), metric)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
def test_small_distances_keep_their_digits(library, metric):
    random = np.random.default_rng(7)
    x = random.standard_normal((20, 50)) + 100
    y = np.concatenate((x, x + 1e-3 * random.standard_normal(x.shape)))
    x, y = x.astype(np.float32), y.astype(np.float32)
    wide = x.astype(np.float64), y.astype(np.float64)
    if metric == "cosine":
        units = [each / np.linalg.norm(each, axis=1)[:, None] for each in wide]
        wanted = ((units[0][:, None] - units[1][None]) ** 2).sum(axis=2) / 2
    else:
        wanted = ((wide[0][:, None] - wide[1][None]) ** 2).sum(axis=2)
        wanted = np.sqrt(wanted) if metric == "euclidean" else wanted
    got = library.fetch(pairwise_distances(library.make(x), library.make(y), metric))
    assert (np.diag(got) <= 1e-15).all()
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-15)
    found = nearest(library.make(x), library.make(y), 2, metric)
    ids = library.fetch(found.ids)
    np.testing.assert_array_equal(ids, [[i, i + 20] for i in range(20)])
    of_ids = np.take_along_axis(wanted, ids, axis=1)
    np.testing.assert_allclose(library.fetch(found.distances), of_ids, rtol=2e-6, atol=1e-15)


def test_equal_distances_are_ordered_by_id_and_nan_is_never_found(library):
    base = np.repeat(np.eye(4, dtype=np.float32), 30, axis=0)[::-1].copy()
    base[::7] = np.nan
    queries = np.eye(4, dtype=np.float32)
    wanted = nearest(queries, base, 120)
    for work_bytes in (None, 2000):
        found = nearest(library.make(queries), library.make(base), 120, work_bytes=work_bytes)
        np.testing.assert_array_equal(library.fetch(found.ids), wanted.ids)
        np.testing.assert_array_equal(library.fetch(found.distances), wanted.distances)


def test_more_than_there_are_and_nothing_at_all(library):
    x, y = rows_of("float32")
    ids, distances = map(library.fetch, nearest(library.make(x), library.make(y[:2]), 5))
    assert (ids[:, 2:] == -1).all()
    assert np.isnan(distances[:, 2:]).all()
    assert library.fetch(nearest(library.make(x), library.make(y[:0]), 5).ids).shape == (13, 5)
    assert library.fetch(pairwise_distances(library.make(x[:0]), library.make(y))).shape == (0, 37)
    assert library.fetch(pairwise_distances(library.make(x), library.make(y[:0]))).shape == (13, 0)


def test_blocks_and_out_hold_the_same_matrix(library):
    x, y = (library.make(each) for each in rows_of("float32"))
    whole = library.fetch(pairwise_distances(x, y))
    parts = [library.fetch(each) for each in pairwise_distances(x, y, chunks=5)]
    assert [len(each) for each in parts] == [5, 5, 3]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)
    out = library.make(np.zeros((13, 37), np.float32))
    assert pairwise_distances(x, y, out=out) is out
    np.testing.assert_allclose(library.fetch(out), whole, rtol=1e-5)
    with pytest.raises(ValueError, match=r"out is .*float64"):
        pairwise_distances(x, y, out=library.make(np.zeros((13, 37))))
    with pytest.raises(TypeError, match="out lies in NumPy"):
        pairwise_distances(x, y, out=np.zeros((13, 37), np.float32))


def test_temporaries_stay_within_their_bytes(monkeypatch):
    """No block, and nothing made for it, is larger than it may be."""
    sizes = []
    block = _device.DeviceRows.block

    def watched(self, rows, columns, work_bytes):
        sizes.append((rows.stop - rows.start) * (columns.stop - columns.start) * 8)
        return block(self, rows, columns, work_bytes)

    monkeypatch.setattr(_device.DeviceRows, "block", watched)
    library = Strict("device1")
    x, y = (library.make(each) for each in rows_of("float32", 50, 400))
    pairwise_distances(x, y, work_bytes=40_000)
    nearest(x, y, 5, work_bytes=40_000)
    assert max(sizes) <= 40_000
    assert sum(sizes) == 2 * 50 * 400 * 8


def test_an_index_lies_where_its_vectors_do(library, tmp_path):
    x, y = rows_of("float32")
    y[9] = 1
    names = np.arange(200, 200 - len(y), -1)
    plain, there = FlatIndex(19, "euclidean"), FlatIndex(19, "euclidean")
    for index, make in ((plain, np.asarray), (there, library.make)):
        index.add(make(y[:20]), names[:20])
        index.add(make(y[20:]), names[20:])
        index.remove([198, 190])
        index.update([199], make(x[2:3]))
    for allowed in (None, [180, 185, 199], lambda ids: ids % 2 == 0):
        wanted = plain.search(x, 6, filter=allowed)
        found = there.search(library.make(x), 6, filter=allowed)
        np.testing.assert_array_equal(library.fetch(found.ids), wanted.ids)
        assert_near(library.fetch(found.distances), wanted.distances, "euclidean")
    there.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index")
    np.testing.assert_array_equal(loaded.search(x, 6).ids, plain.search(x, 6).ids)
    if library.is_apart:
        with pytest.raises(TypeError, match="queries lies in the CPU's memory, the index lies in"):
            there.search(x, 6)
        with pytest.raises(TypeError, match=r"vectors lies in .*, the index lies in the CPU's"):
            plain.add(library.make(y))
        with pytest.raises(TypeError, match="search_within is for the CPU's memory"):
            there.search_within(library.make(x), 1.0)
        with pytest.raises(TypeError, match="that is for a FlatIndex with storage='float32'"):
            FlatIndex(19, storage="int8").add(library.make(y))
    assert there.remove(there.ids) == len(y) - 2
    ids = there.search(library.make(x), 2).ids
    assert (library.fetch(ids) == -1).all()


def test_an_empty_index_answers_in_kind(library):
    found = FlatIndex(19).search(library.make(rows_of("float32")[0]), 2)
    assert library.fetch(found.ids).shape == (13, 2)
    assert np.isnan(library.fetch(found.distances)).all()


def test_wrong_arguments_are_named():
    library = Strict("device1")
    x, y = rows_of("float32")
    there = library.make(x)
    with pytest.raises(TypeError, match="arrays are to lie in one place"):
        nearest(there, Strict("CPU_DEVICE").make(y), 3)
    with pytest.raises(TypeError, match="y lies in NumPy, the others lie in array_api_strict"):
        pairwise_distances(there, y)
    with pytest.raises(ValueError, match="base has shape"):
        nearest(there, library.make(y[0]), 3)
    with pytest.raises(ValueError, match="queries has 19 columns, base has 18"):
        nearest(there, library.make(y[:, 1:]), 3)
    with pytest.raises(TypeError, match="metric 'canberra' is a function of NumPy arrays"):
        pairwise_distances(there, metric="canberra")
    with pytest.raises(TypeError, match="dtype complex64"):
        pairwise_distances(library.make(x.astype(np.complex64)))
    for call in (pairwise_distances, lambda x, **options: nearest(x, x, 1, **options)):
        with pytest.raises(TypeError, match="a backend is for what lies in the CPU's memory"):
            call(there, backend="local")
    with pytest.raises(ValueError, match="work_bytes is 0"):
        pairwise_distances(there, work_bytes=0)


def test_what_numpy_sees_goes_through_its_kernels():
    x, y = (strict.asarray(each) for each in rows_of("float32"))
    own = Metric("taxi", function=lambda a, b: abs(a[:, None] - b[None]).sum(axis=2))
    for metric in ("canberra", own):  # these have no other form
        got = np.asarray(pairwise_distances(x, y, metric))
        np.testing.assert_array_equal(got, pairwise_distances(*rows_of("float32"), metric))
    spread = pairwise_distances(
        x, y, backend="local", out=strict.zeros((13, 37), dtype=strict.float32)
    )
    np.testing.assert_array_equal(np.asarray(spread), np.asarray(pairwise_distances(x, y)))
    assert type(pairs_within(x, 1.0).ids) is np.ndarray


def test_torch_of_half_width_and_with_gradients():
    torch = pytest.importorskip("torch")
    x, y = rows_of("float32")
    half = torch.tensor(x).to(torch.bfloat16), torch.tensor(y).to(torch.bfloat16)
    wanted = pairwise_distances(*(each.float().numpy() for each in half))
    got = pairwise_distances(*half)
    assert got.dtype == torch.float32
    assert_near(got.numpy(), wanted, "sqeuclidean")
    with_gradient = torch.tensor(x, requires_grad=True)
    assert_near(
        pairwise_distances(with_gradient, torch.tensor(y)).detach().numpy(),
        pairwise_distances(x, y),
        "sqeuclidean",
    )


def test_no_library_is_imported_without_its_array():
    code = (
        "import sys, numpy as np; from raudo.similarity import nearest; "
        "nearest(np.ones((2, 3)), np.ones((4, 3)), 1); nearest([[1.0]], [[2.0]], 1); "
        "print(*(n for n in ('torch', 'cupy', 'jax', 'array_api_strict', 'array_api_compat') "
        "if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_example_runs(library, capsys):
    example = Path(__file__).resolve().parents[2] / "examples" / "arrays_elsewhere.py"
    runpy.run_path(str(example))["main"](library.make)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("row 7 is nearest to 1500 at ")
    assert lines[1] == "the index finds 1500"
