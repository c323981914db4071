"""Dask as the engine: the contract on a real cluster, workers that die, clusters that grow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from raudo import ParallelExecutor, parallel_map
from raudo.analysis import DocumentAnalyzer
from raudo.concurrency.backends import Settings, open_backend
from raudo.errors import ClusterUnavailable
from raudo.similarity import nearest, pairwise_distances
from raudo.testing import BackendContract
from raudo.testing import _backend_work as work

if os.environ.get("CI"):
    import distributed  # the extra `test` has it
else:
    distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,  # servers, which no interpreter changes
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from dask_cluster import Cluster

    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.stop()


@pytest.fixture
def client(cluster):
    return cluster.client


class TestDask(BackendContract):
    @pytest.fixture(autouse=True)
    def _cluster(self, client):
        self.backend = client


def begin(folder, x):
    """Note the item and the process; go on once a worker was killed."""
    Path(folder, f"{x} {os.getpid()}").touch()
    until = time.monotonic() + 60
    while not Path(folder, "killed").exists() and time.monotonic() < until:
        time.sleep(0.005)
    return x


def test_what_a_killed_worker_was_at_is_run_again(client, tmp_path):
    with ParallelExecutor(backend=client) as executor:
        results = executor.map(partial(begin, str(tmp_path)), range(30), chunksize=2)
        until = time.monotonic() + 60
        while not (begun := os.listdir(tmp_path)):
            assert time.monotonic() < until
            time.sleep(0.005)
        item, pid = begun[0].split()
        os.kill(int(pid), signal.SIGKILL)
        (tmp_path / "killed").touch()
        assert list(results) == list(range(30))
    assert len(list(tmp_path.glob(f"{item} *"))) == 2, "it was begun twice"


class Counted:
    """A large value that counts how often it is pickled."""

    n_pickled = 0

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        Counted.n_pickled += 1
        return bytes, (self.data,)


def size_and_pid(shared, folder, x):
    """Wait for the other worker to have begun one too."""
    Path(folder, str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(os.listdir(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    return len(shared), os.getpid()


def test_what_a_function_is_bound_to_travels_once(client, tmp_path):
    Counted.n_pickled = 0
    shared = Counted(bytes(3 << 20))
    bound = partial(size_and_pid, shared, str(tmp_path))
    got = parallel_map(bound, range(40), chunksize=1, backend=client)
    sizes, pids = zip(*got, strict=True)
    assert set(sizes) == {3 << 20}
    assert len(set(pids)) == 2, "and to both workers"
    assert Counted.n_pickled <= 3  # whether it can be, and to send it


def test_dask_means_the_client_that_is_current(client):
    pids = {pid for _, pid in client.run(os.getpid).items()}
    with client.as_current():
        assert set(parallel_map(work.pid, range(4), chunksize=1, backend="dask")) <= pids
    assert set(parallel_map(work.pid, range(4), kind="thread", backend=client)) == {os.getpid()}
    assert set(parallel_map(work.pid, range(4), kind="inline", backend=client)) == {os.getpid()}


def nested(n):
    return sum(parallel_map(work.square, range(n), backend="dask"))


def test_tasks_may_wait_for_tasks_of_theirs(client):
    got = parallel_map(nested, [3, 4, 5, 6], chunksize=1, backend=client, kind="process")
    assert got == [5, 14, 30, 55]


def test_max_workers_bounds_what_runs_at_once(client):
    backend = open_backend(client, Settings(1, 1, most_at_once=1))
    assert backend.slots("process") == backend.ahead("process") == 1
    backend.close()


def test_a_cluster_of_its_own_grows_with_the_work():
    with ParallelExecutor(max_processes=2, backend="dask") as executor:
        executor.map(time.sleep, [0.1] * 2000, kind="process", chunksize=1)
        until = time.monotonic() + 90
        while executor.get_stats()["workers"]["processes"]["workers"] < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        executor.shutdown(cancel_futures=True)
    assert not [each for each in threading.enumerate() if each.name == "raudo-dask"]


def test_a_scheduler_that_goes_away_fails_what_waits():
    alone = {"n_workers": 0, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**alone) as made:
        client = distributed.Client(made, set_as_default=False)
        executor = ParallelExecutor(backend=client)
        future = executor.submit(work.square, 3)
        client.close()
        assert isinstance(future.exception(60), ClusterUnavailable)
        with pytest.raises(ClusterUnavailable):
            executor.submit(work.square, 3)
        executor.shutdown()
        with pytest.raises(ClusterUnavailable):
            ParallelExecutor(backend=client)


async def test_an_asynchronous_client_is_refused(cluster):
    async with distributed.Client(cluster.address, asynchronous=True) as client:
        with pytest.raises(TypeError, match="synchronous"):
            ParallelExecutor(backend=client)


def test_nothing_imports_dask_unasked():
    code = "import sys, raudo; raudo.parallel_map(abs, [1]); raudo.ParallelExecutor().shutdown()"
    code += "; print(*(name for name in ('dask', 'distributed') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


# --- what is built on it --------------------------------------------------------------------------


def test_distances_are_those_of_this_machine(client):
    x = np.random.default_rng(1).normal(size=(500, 40)).astype(np.float32)
    np.testing.assert_array_equal(
        pairwise_distances(x, metric="cosine", backend=client),
        pairwise_distances(x, metric="cosine"),
    )
    found = nearest(x[:100], x, 4, backend=client)
    for here, there in zip(nearest(x[:100], x, 4), found, strict=True):
        np.testing.assert_array_equal(here, there)


def test_an_analysis_is_that_of_this_machine(client):
    documents = [f"document {i % 40} about {i * i % 7} things" for i in range(120)]
    reports = [
        DocumentAnalyzer("wordllama", backend=backend).analyze(documents, measure="cosine")
        for backend in (None, client)
    ]
    here, there = reports
    assert here.groups == there.groups
    np.testing.assert_array_equal(here.neighbours.ids, there.neighbours.ids)
    np.testing.assert_array_equal(here.neighbours.similarities, there.neighbours.similarities)


def test_the_example_runs(cluster):
    example = Path(__file__).resolve().parents[2] / "examples" / "parallel_dask.py"
    command = [sys.executable, str(example), cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "the same as here: True" in out
    assert "on 2 workers" in out
