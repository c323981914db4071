"""What a monitor can watch: components of every kind, and all rooms."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass

import pytest

from monitoring.monitors import Source, level, quiet, values
from raudo.memory import BufferPool, MemoryOptimizer, ObjectPool
from raudo.monitoring import Monitor

pytestmark = pytest.mark.parallel_threads(1)  # they fork, and read what was logged


def test_samples_of_all_components_are_collected():
    one, two = Source(level(1, of="one")), Source(level(2, of="two"))
    assert values(quiet(one, two), "level") == {'level{of="one"}': 1, 'level{of="two"}': 2}


def test_components_with_the_same_series_are_told_apart():
    one, two, three = Source(level(1)), Source(level(2)), Source(level(3))
    monitor = quiet(one, two, three)
    expected = {"level": 1, 'level{instance="2"}': 2, 'level{instance="3"}': 3}
    assert values(monitor, "level") == expected
    monitor.unwatch(two)
    del expected['level{instance="2"}']
    assert values(monitor, "level") == expected


def test_watching_keeps_nothing_alive():
    source = Source(level(9))
    monitor = quiet(source)
    assert len(monitor.check()) == 1
    ref = weakref.ref(source)
    del source
    assert ref() is None
    assert monitor.check() == []
    assert values(monitor, "raudo_monitor_components") == {"raudo_monitor_components": 0}


def test_component_without_weak_references_is_kept():
    class Slotted:
        __slots__ = ()

        def samples(self):
            return [level(1)]

    assert values(quiet(Slotted()), "level") == {"level": 1}


def test_watching_twice_is_once():
    source = Source(level(1))
    monitor = quiet(source, source)
    monitor.watch(source)
    assert values(monitor, "level") == {"level": 1}


def test_get_stats_of_a_cache_get_the_names_of_the_rooms():
    class OldCache:
        name = "users"

        def get_stats(self):
            return {
                "hits": 30,
                "misses": 10,
                "l1_size": 2,
                "levels": {"l1": {"bytes": 7}},
                "s": "x",
            }

    cache = OldCache()
    assert values(quiet(cache), "raudo_") | {"raudo_monitor_check_seconds": 0} == {
        'raudo_cache_hits_total{cache="users"}': 30,
        'raudo_cache_misses_total{cache="users"}': 10,
        'raudo_cache_hit_ratio{cache="users"}': 0.75,
        'raudo_old_cache_l1_size{cache="users"}': 2,
        'raudo_old_cache_levels_l1_bytes{cache="users"}': 7,
        "raudo_monitor_components": 1,
        "raudo_monitor_component_errors_total": 0,
        "raudo_monitor_check_seconds": 0,
    }


def test_get_stats_of_a_processor_feed_the_default_rules():
    class Processor:
        def get_stats(self):
            return {
                "processed_tasks": 5000,
                "failed_tasks": 300,
                "success_rate": 0.94,
                "avg_processing_time": 0.6,
                "queue_size": 10,
            }

    processor = Processor()
    monitor = Monitor(processor, process=False)
    assert values(monitor, "raudo_task") == {
        "raudo_tasks_processed_total": 5000,
        "raudo_tasks_failed_total": 300,
        "raudo_tasks_error_ratio": 0.06,
        "raudo_task_mean_seconds": 0.6,
        "raudo_task_queue_size": 10,
    }
    assert {alert.rule for alert in monitor.check()} == {"high error rate", "slow response"}


def test_low_hit_rate_is_raised_for_a_cache_that_was_asked_enough():
    @functools.lru_cache(maxsize=10)
    def cached(x):
        return x

    monitor = Monitor(cached, process=False)
    for i in range(99):
        cached(i)
    assert monitor.check() == []
    cached(1000)
    assert [alert.rule for alert in monitor.check()] == ["low hit rate"]
    for _ in range(500):
        cached(1000)
    assert monitor.check() == []


def test_dataclass_of_stats_is_read():
    @dataclass
    class Stats:
        depth: int = 4

    class Queue:
        def stats(self):
            return Stats()

    queue = Queue()
    assert values(quiet(queue), "raudo_queue") == {"raudo_queue_depth": 4}


def test_rooms_of_memory_are_watched():
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=1)
    optimizer.create_pool("lists", list)
    pool, buffers = ObjectPool(list, name="own"), BufferPool(name="buffers")
    monitor = Monitor(optimizer, pool, buffers)
    found = values(monitor)
    assert found['raudo_pool_idle{pool="lists"}'] == 0
    assert found['raudo_pool_created_total{pool="own"}'] == 0
    assert found['raudo_pool_idle_bytes{pool="buffers"}'] == 0
    # Both the optimizer and the process have it: the optimizer's counts, it knows the limit.
    assert found["raudo_memory_percent"] > 1000
    assert [alert.rule for alert in monitor.check()] == ["high memory"]


@pytest.mark.parametrize("component", [3, "x", object(), Source, MemoryOptimizer])
def test_what_cannot_be_watched_is_named(component):
    with pytest.raises(TypeError, match="a component is"):
        Monitor(component)


def test_process_is_sampled():
    found = values(Monitor())
    assert 0 < found["raudo_memory_percent"] < 100
    assert found["raudo_process_cpu_seconds_total"] > 0
    assert found["raudo_process_threads"] >= 1
    assert found["raudo_process_open_files"] >= 1
    before = found['raudo_gc_collections_total{generation="2"}']
    gc.collect()
    assert values(Monitor())['raudo_gc_collections_total{generation="2"}'] > before


COUNTING = """
import threading
from raudo._process import open_file_count, thread_count
threads, files = thread_count(), open_file_count()
leave = threading.Event()
threading.Thread(target=leave.wait).start()
kept = [open("/dev/null") for _ in range(3)]
print(thread_count() - threads, open_file_count() - files)
leave.set()
"""


def test_threads_and_files_are_counted():
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, check=True)
    assert done.stdout.split() == [b"1", b"3"]
