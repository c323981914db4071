"""The facade: named pools, when it runs and when it stops, what it frees and reports."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from raudo import MemoryOptimizer
from raudo.errors import RaudoError, UnknownPool
from raudo.memory import BufferPool, ObjectPool
from raudo.memory import optimizer as optimizer_module
from raudo.memory.census import count_types
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)  # the collector's settings belong to the process

THREAD = "raudo-memory-watch"

gc.collect()
IMMORTAL = gc.get_freeze_count()  # CPython 3.12 counts its immortal objects as frozen


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    before = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.collect()
    for thread in watchers():
        thread.join(60)
    assert not watchers()
    assert (gc.get_threshold(), gc.callbacks) == before
    assert gc.get_freeze_count() <= IMMORTAL


@pytest.fixture
def memory(monkeypatch):
    """The process's memory, as the optimizer sees it: `memory["used"]`, of 100 bytes."""
    state = {"used": 10}
    monkeypatch.setattr(optimizer_module, "resident_bytes", lambda: state["used"])
    return state


def watchers():
    return [each for each in threading.enumerate() if each.name == THREAD and each.is_alive()]


class Node:
    pass


def cycle():
    node = Node()
    node.me = node
    return weakref.ref(node)


# --- pools ------------------------------------------------------------------------------------


def test_pools_are_found_by_name():
    optimizer = MemoryOptimizer(auto_optimize=False)
    strings = optimizer.create_pool("strings", lambda: "", max_size=1000)
    lists = optimizer.create_pool("lists", list, 500, reset=lambda obj: None)
    assert optimizer.get_pool("strings") is strings
    assert isinstance(lists, ObjectPool)
    assert (lists.name, lists.max_size) == ("lists", 500)


def test_unknown_pool_is_a_key_error_that_names_the_known():
    optimizer = MemoryOptimizer(auto_optimize=False)
    with pytest.raises(UnknownPool) as caught:
        optimizer.get_pool("x")
    assert str(caught.value) == "no pool is named 'x'; created so far: none"
    optimizer.create_pool("lists", list)
    with pytest.raises(KeyError, match="created so far: 'lists'"):
        optimizer.get_pool("x")
    assert issubclass(UnknownPool, RaudoError)


def test_name_is_used_once():
    optimizer = MemoryOptimizer(auto_optimize=False)
    optimizer.create_pool("a", list)
    with pytest.raises(ValueError, match="name is 'a'"):
        optimizer.create_pool("a", list)
    with pytest.raises(ValueError, match="name is 'a'"):
        optimizer.attach("a", BufferPool())
    with pytest.raises(TypeError, match="name is 3"):
        optimizer.create_pool(3, list)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gc_threshold": 0}, ValueError, "gc_threshold is 0"),
        ({"gc_threshold": 1.5}, TypeError, "gc_threshold is 1.5"),
        ({"interval": 0}, ValueError, "interval is 0"),
        ({"interval": "1"}, TypeError, "interval is '1'"),
        ({"memory_limit": -1}, ValueError, "memory_limit is -1"),
        ({"memory_limit": True}, TypeError, "memory_limit is True"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        MemoryOptimizer(**arguments)


# --- running ----------------------------------------------------------------------------------


def test_nothing_happens_before_it_is_needed():
    found = gc.get_threshold()
    optimizer = MemoryOptimizer()
    optimizer.optimize()
    optimizer.get_optimization_report()
    assert not optimizer.is_running
    assert gc.get_threshold() == found
    optimizer.create_pool("lists", list)
    assert optimizer.is_running
    assert gc.get_threshold() == (1000, *found[1:])
    optimizer.stop()
    assert gc.get_threshold() == found
    assert not watchers()


def test_without_auto_optimize_only_start_starts():
    optimizer = MemoryOptimizer(auto_optimize=False)
    optimizer.create_pool("lists", list)
    optimizer.optimize()
    assert not optimizer.is_running
    with optimizer as same:
        assert same is optimizer
        assert optimizer.is_running
        assert len(watchers()) == 1
        optimizer.start()
        assert len(watchers()) == 1
    assert not optimizer.is_running


def test_stopped_optimizer_stays_stopped_and_works_on():
    optimizer = MemoryOptimizer()
    optimizer.create_pool("a", list)
    optimizer.stop()
    optimizer.stop()
    optimizer.create_pool("b", list)
    optimizer.idle()
    optimizer.stop()
    assert not optimizer.is_running
    with optimizer:
        assert optimizer.is_running


def test_dropping_it_ends_the_thread_and_restores_the_settings():
    found = gc.get_threshold()
    optimizer = MemoryOptimizer()
    optimizer.create_pool("a", list)
    optimizer.idle()
    ref = weakref.ref(optimizer)
    threads = watchers()
    del optimizer
    assert ref() is None
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert gc.get_threshold() == found
    assert gc.get_freeze_count() <= IMMORTAL


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_a_watch_of_its_own():
    optimizer = MemoryOptimizer(interval=30)
    optimizer.create_pool("a", list)
    pid = os.fork()
    if pid == 0:
        gone = not optimizer.is_running
        optimizer.optimize(0)
        os._exit(0 if gone and optimizer.is_running else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert optimizer.is_running
    optimizer.stop()


# --- what it frees ----------------------------------------------------------------------------


def test_optimize_collects_cycles_and_halves_what_idles():
    optimizer = MemoryOptimizer(auto_optimize=False)
    pool = optimizer.create_pool("lists", list)
    for each in [pool.acquire() for _ in range(100)]:
        pool.release(each)
    ref = cycle()
    done = optimizer.optimize()
    assert ref() is None
    assert done["collected"] >= 1
    assert done["trimmed"] == 50
    assert pool.idle == 50
    assert done["freed_bytes"] >= 0
    assert done["generation"] == 2
    with pytest.raises(ValueError, match="generation is 3"):
        optimizer.optimize(3)


def test_optimize_empties_the_pools_when_memory_is_short(memory):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100)
    pool, buffers = optimizer.create_pool("lists", list), BufferPool()
    optimizer.attach("buffers", buffers)
    for each in [pool.acquire() for _ in range(10)]:
        pool.release(each)
    with buffers.borrow(1024, "uint8"):
        pass
    memory["used"] = 95
    done = optimizer.optimize()
    assert (pool.idle, buffers.stats()["held_bytes"]) == (0, 0)
    assert done["trimmed"] == 10
    assert done["trimmed_bytes"] == 1024


def test_watch_acts_under_pressure_and_backs_off(memory):
    clock = FakeClock()
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100, clock=clock)
    generations = []
    optimizer.optimize = generations.append

    def tick(seconds=1.0):
        clock.advance(seconds)
        generations.clear()
        optimizer._tick()
        return list(generations)

    assert tick() == []
    memory["used"] = 95
    assert tick() == [1, 2]  # and it did not help
    assert tick(0.5) == []
    assert tick(0.5) == [1, 2]
    assert tick(1.0) == []
    assert tick(1.0) == [1, 2]
    for _ in range(10):
        tick(60.0)
    assert tick(59.0) == []
    assert tick(1.0) == [1, 2]
    memory["used"] = 10
    assert tick() == []
    memory["used"] = 95
    assert tick() == [1, 2]  # a new shortage is met at once


def test_young_collection_is_enough_where_it_helps(memory, monkeypatch):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100, clock=FakeClock())
    memory["used"] = 95
    collected = []

    def collect(generation):
        collected.append(generation)
        memory["used"] = 50
        return 0

    monkeypatch.setattr(gc, "collect", collect)
    optimizer._tick()
    monkeypatch.undo()
    assert collected == [1]


def test_watch_runs_in_its_thread():
    ticked = threading.Event()

    class Watched(MemoryOptimizer):
        def _tick(self):
            ticked.set()

    with Watched(interval=0.005):
        assert ticked.wait(10)


def test_idle_takes_the_old_generation_over_until_it_is_forgotten():
    clock = FakeClock()
    optimizer = MemoryOptimizer(clock=clock)
    found = gc.get_threshold()
    assert optimizer.idle()["generation"] == 2
    assert gc.get_threshold() == (1000, 10, 1_000_000)
    assert gc.get_freeze_count() > 0
    clock.advance(59)
    optimizer._tick()
    assert gc.get_threshold()[2] == 1_000_000
    clock.advance(2)
    optimizer._tick()
    assert gc.get_threshold() == (1000, *found[1:])
    assert gc.get_freeze_count() <= IMMORTAL
    optimizer.idle(budget=0.001)
    assert gc.get_threshold()[2] == 1_000_000
    optimizer.stop()
    assert gc.get_threshold() == found
    with pytest.raises(ValueError, match="budget is -1"):
        optimizer.idle(-1)


def test_freeze_is_undone_by_stop():
    with MemoryOptimizer() as optimizer:
        frozen = optimizer.freeze()
        # threads of other tests may let go of what is frozen between the two counts
        assert IMMORTAL < frozen == pytest.approx(gc.get_freeze_count(), rel=0.01)
        assert optimizer.get_optimization_report()["frozen_objects"] > IMMORTAL
    assert gc.get_freeze_count() <= IMMORTAL


# --- what it reports --------------------------------------------------------------------------


def test_report_is_true(memory):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=4 << 20)
    memory["used"] = 1 << 20
    pool = optimizer.create_pool("lists", list)
    lent = pool.acquire()
    gc.collect()  # nothing is left for a collection between the two counts
    report = optimizer.get_optimization_report()
    expected = {"used_mb": 1.0, "percent": 25.0, "limit_mb": 4.0}
    assert report["current_memory"].items() >= expected.items()
    expected = len(gc.get_objects()) + gc.get_freeze_count()
    assert report["python_objects"] == pytest.approx(expected, rel=0.01)
    before = report["gc_collections"]
    gc.collect()
    assert optimizer.get_optimization_report()["gc_collections"] > before
    assert report["pools"]["lists"]["in_use"] == 1
    assert report["optimizations"] == 0
    pool.release(lent)


class Leaked:
    """Not slotted: tracked by the collector."""


def test_what_grew_is_named_though_it_is_frozen(memory):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=10**12, growth_bytes=1000)
    seen = []
    optimizer.on_growth(seen.append)
    memory["used"] = 10_000
    optimizer.freeze()
    try:
        optimizer._tick()
        kept = [Leaked() for _ in range(5000)]
        optimizer.idle(0)
        kept += [Leaked() for _ in range(5000)]
        optimizer.idle(0)
        assert not any(type(each) is Leaked for each in gc.get_objects())
        memory["used"] = 20_000
        optimizer._tick()
        ((name, n),) = [each for each in seen[0].types if each[0].endswith("Leaked")]
        assert 8000 < n < 12_000
        # The report shows those that there are most of; a suite holds more of others.
        assert count_types(frozen=optimizer._collector.frozen_types)[name] == n
    finally:
        optimizer.stop()
    assert not optimizer._collector.frozen_types


def test_report_of_the_real_process():
    report = MemoryOptimizer(auto_optimize=False).get_optimization_report()
    assert report["current_memory"]["used_mb"] > 5
    assert 0 < report["current_memory"]["percent"] <= 100


def test_samples_follow_the_naming_rules(memory):
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=100)
    optimizer.create_pool("lists", list)
    optimizer.attach("buffers", BufferPool())
    samples = list(optimizer.samples())
    assert len({(each.name, each.labels) for each in samples}) == len(samples)
    for each in samples:
        assert each.name.startswith("raudo_")
        assert (each.kind == "counter") == each.name.endswith("_total")
        assert each.help.endswith(".")
    values = {(each.name, each.labels): each.value for each in samples}
    assert values["raudo_memory_percent", ()] == 10.0
    assert values["raudo_pool_in_use", (("pool", "lists"),)] == 0
    assert values["raudo_pool_idle_bytes", (("pool", "buffers"),)] == 0


def test_it_describes_itself():
    optimizer = MemoryOptimizer(auto_optimize=False)
    assert repr(optimizer) == "<MemoryOptimizer not running, pools: none>"


def test_what_cannot_be_trimmed_is_not_attached() -> None:
    with pytest.raises(TypeError, match=r"trim\(keep\) and stats\(\), a list"):
        MemoryOptimizer().attach("x", [])  # type: ignore[arg-type]
