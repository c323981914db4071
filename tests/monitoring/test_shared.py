"""The samples of several processes as one set."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from raudo import SmartCache
from raudo.monitoring import Monitor
from raudo.monitoring.exporters.prometheus import exposition
from raudo.monitoring.exporters.shared import SharedSamples
from raudo.testing import ExporterContract
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)  # they fork


def count(value, name="n_total", **labels):
    return Sample(name, "counter", value, tuple(labels.items()))


def level(value):
    return Sample("level", "gauge", value)


def found(shared):
    return {(each.name, each.labels): each.value for each in shared.collect()}


class Worker:
    """A process that writes the samples that it is given, and ends when it is told to."""

    def __init__(self, folder, *samples):
        ready, self._end = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            SharedSamples(folder).export(samples)
            os.write(ready[1], b"x")
            os.read(self._end[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        for end in ready:
            os.close(end)

    def end(self, number=None):
        if number is not None:
            os.kill(self.pid, number)
        os.write(self._end[1], b"x")
        for end in self._end:
            os.close(end)
        os.waitpid(self.pid, 0)


class TestShared(ExporterContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make(self):
        return SharedSamples(self.folder)

    def delivered(self, exporter):
        return {sample.name: sample.value for sample in exporter.collect()}


def test_counters_are_added_and_gauges_told_apart(tmp_path):
    one = Worker(tmp_path, count(3, cache="a"), level(1))
    two = Worker(tmp_path, count(4, cache="a"), count(1, cache="b"), level(2))
    shared = SharedSamples(tmp_path)
    assert found(shared) == {
        ("n_total", (("cache", "a"),)): 7,
        ("n_total", (("cache", "b"),)): 1,
        ("level", (("pid", str(one.pid)),)): 1,
        ("level", (("pid", str(two.pid)),)): 2,
    }
    one.end()
    two.end()


def test_counters_of_ended_processes_stay_and_their_gauges_go(tmp_path):
    shared = SharedSamples(tmp_path)
    total = 0
    for n, number in enumerate((None, signal.SIGKILL, None, signal.SIGTERM), 1):
        worker = Worker(tmp_path, count(n), level(n))
        total += n
        assert found(shared)["n_total", ()] == total
        worker.end(number)
        assert found(shared) == {("n_total", ()): total}
        assert found(shared) == {("n_total", ()): total}
    assert sorted(os.listdir(tmp_path)) == ["lock", "past.json"]


def test_process_that_is_not_yet_waited_for_has_ended(tmp_path):
    worker = Worker(tmp_path, count(1), level(1))
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert found(SharedSamples(tmp_path)) == {("n_total", ()): 1}
    worker.end()


@pytest.mark.parametrize("content", [b"", b"{", b"[[1]]", b'[["a","odd",1,[],""]]', b"\xff", b"3"])
def test_file_that_cannot_be_read_is_passed_over(tmp_path, content):
    shared = SharedSamples(tmp_path)
    shared.export([count(2)])
    (tmp_path / f"{os.getppid()}-1.json").write_bytes(content)
    (tmp_path / "past.json").write_bytes(content)
    assert found(shared) == {("n_total", ()): 2}


async def test_monitors_of_several_processes_make_one_page(tmp_path):
    async with SmartCache(10, name="users") as cache:
        await cache.set("a", 1)
        await cache.get("a")
        shared = SharedSamples(tmp_path)
        monitor = Monitor(cache)
        monitor.export_to(shared)
        monitor.check()
        pid = os.fork()
        if pid == 0:  # counts on from where it began
            monitor.check()
            os._exit(0)
        await asyncio.to_thread(os.waitpid, pid, 0)
        text = exposition(shared.collect())
    assert 'raudo_cache_hits_total{cache="users"} 2.0' in text
    assert f'raudo_memory_used_bytes{{pid="{os.getpid()}"}}' in text
    assert 'raudo_cache_hit_duration_seconds_bucket{cache="users",level="l1",le="+Inf"}' in text
    assert "raudo_shared" not in text
