"""Paused sections, thresholds that are given back, and the collections of idle moments."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from raudo._process import resident_bytes
from raudo.memory import gc_paused
from raudo.memory.gc import IdleCollector, PauseMeter, Thresholds
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)  # the collector's settings belong to the process

gc.collect()
IMMORTAL = gc.get_freeze_count()  # CPython 3.12 counts its immortal objects as frozen


@pytest.fixture(autouse=True)
def _gc_as_found():
    before = gc.isenabled(), gc.get_threshold()
    yield
    assert (gc.isenabled(), gc.get_threshold()) == before
    assert gc.get_freeze_count() <= IMMORTAL


class Node:
    pass


def cycle():
    node = Node()
    node.me = node
    return weakref.ref(node)


def test_paused_sections_nest():
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_collector_comes_back_after_an_error():
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled()


def test_what_is_loaded_stays_and_its_memory_comes_back():
    """In rounds, nested and over threads: arenas of either allocator are freed by the other."""

    def load(n):
        with gc_paused(), gc_paused():
            return [[i, {"id": i}] for i in range(n)]

    load(1000)
    before = resident_bytes()
    for _ in range(4):
        kept = load(40_000)
        others = [[i] for i in range(40_000)]
        thread = threading.Thread(target=load, args=(20_000,))
        with gc_paused():
            thread.start()
            kept += load(20_000)
        thread.join()
        assert all(row == [row[0], {"id": row[0]}] for row in kept)
        assert [row[0] for row in others] == list(range(40_000))
        del kept, others
    assert resident_bytes() < before + (16 << 20)


def test_paused_as_a_decorator():
    @gc_paused()
    def load():
        return gc.isenabled()

    assert load() is False
    assert load() is False
    assert gc.isenabled()


def test_overlapping_sections_of_threads_end_with_the_last():
    entered, leave = threading.Event(), threading.Event()

    def work():
        with gc_paused():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    with gc_paused():
        thread.start()
        entered.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_drops_the_sections_of_other_threads():
    entered, leave = threading.Event(), threading.Event()

    def work():
        with gc_paused():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    try:
        pid = os.fork()
        if pid == 0:
            with gc_paused():
                inside = gc.isenabled()
            os._exit(0 if gc.isenabled() and not inside else 1)
        _, status = os.waitpid(pid, 0)
    finally:
        leave.set()
        thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_keeps_its_own_section():
    with gc_paused():
        pid = os.fork()
        if pid == 0:
            os._exit(0 if not gc.isenabled() else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_freeze_hides_what_was_loaded():
    try:
        with gc_paused(freeze=True):
            data = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= 1000
    finally:
        gc.unfreeze()
    assert len(data) == 1000


# --- thresholds -------------------------------------------------------------------------------


def test_thresholds_are_given_back():
    found = gc.get_threshold()
    mine = Thresholds()
    mine.set(1234)
    assert gc.get_threshold() == (1234, *found[1:])
    mine.set(1234, 25, 1_000_000)
    assert gc.get_threshold() == (1234, 25, 1_000_000)
    mine.restore()
    assert gc.get_threshold() == found
    mine.restore()
    assert gc.get_threshold() == found


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_several_wishes_end_in_any_order(first_to_end):
    found = gc.get_threshold()
    wishes = [Thresholds(), Thresholds()]
    wishes[0].set(1111)
    wishes[1].set(2222)
    assert gc.get_threshold()[0] == 2222
    wishes[first_to_end].restore()
    assert gc.get_threshold()[0] == [2222, 1111][first_to_end]
    wishes[1 - first_to_end].restore()
    assert gc.get_threshold() == found


def test_thresholds_set_by_others_are_left_alone():
    found = gc.get_threshold()
    mine = Thresholds()
    mine.set(1234)
    gc.set_threshold(777, 7, 7)
    mine.restore()
    assert gc.get_threshold() == (777, 7, 7)
    gc.set_threshold(*found)


def test_pause_meter_measures_only_while_it_is_on():
    meter = PauseMeter()
    meter.start()
    meter.start()
    try:
        gc.collect()
    finally:
        meter.stop()
    seconds = meter.seconds
    assert 0 < meter.longest <= seconds
    gc.collect()
    assert meter.seconds == seconds
    assert meter not in gc.callbacks


# --- idle moments -----------------------------------------------------------------------------


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def collector(clock):
    collector = IdleCollector(clock)
    yield collector
    collector.undo()


def test_first_idle_moment_collects_everything(collector):
    gc.collect()
    ref = cycle()
    done = collector.idle(None)
    assert ref() is None
    assert done["generation"] == 2
    # threads of other tests may let go of what is frozen between the two counts
    assert 0 < done["frozen"] == pytest.approx(gc.get_freeze_count() - IMMORTAL, rel=0.01)


def test_later_idle_moments_are_short(collector):
    collector.idle(None)
    ref = cycle()
    data = [[] for _ in range(100)]
    done = collector.idle(None)
    assert ref() is None
    assert done["generation"] == 1
    assert done["frozen"] >= len(data)


def test_cycle_that_dies_frozen_is_found_when_enough_was_frozen(collector):
    collector.idle(None)
    node = Node()
    node.me = node
    ref = weakref.ref(node)
    collector.idle(None)
    del node
    collector.idle(None)
    assert ref() is not None
    data = [[] for _ in range(gc.get_freeze_count())]
    collector.idle(None)  # freezes data
    assert collector.idle(None)["generation"] == 2
    assert ref() is None
    del data


def test_full_collection_waits_for_a_budget(collector, clock):
    collector.idle(None)
    data = [[] for _ in range(3 * gc.get_freeze_count())]
    assert collector.idle(0.0)["generation"] == 1
    assert collector.idle(0.0)["generation"] == 1
    assert collector.idle(60.0)["generation"] == 2
    assert len(data) > 0


@pytest.mark.parametrize(("growth", "minutes", "generation"), [(3, 11, 2), (3, 9, 1), (0.5, 11, 1)])
def test_full_collection_that_never_fits_is_forced_seldom(
    collector, clock, growth, minutes, generation
):
    collector.idle(None)
    data = [[] for _ in range(int(growth * gc.get_freeze_count()))]
    collector.idle(0.0)
    clock.advance(60 * minutes)
    assert collector.idle(0.0)["generation"] == generation
    assert collector.idle(0.0)["generation"] == 1
    assert len(data) > 0


def test_moment_without_a_bound_finds_frozen_cycles_every_ten_minutes(collector, clock):
    collector.idle(None)
    node = Node()
    node.me = node
    ref = weakref.ref(node)
    collector.idle(None)
    del node
    clock.advance(599)
    assert collector.idle(None)["generation"] == 1
    clock.advance(2)
    assert collector.idle(None)["generation"] == 2
    assert ref() is None
    clock.advance(601)
    collector._frozen = collector._frozen_after_full  # nothing has been frozen since
    assert collector._full_is_due(None) is False


def test_what_died_by_itself_does_not_make_a_full_collection_due(collector):
    collector.idle(None)
    n = gc.get_freeze_count() // 10
    for _ in range(8):
        data = [[] for _ in range(n)]
        assert collector.idle(None)["generation"] == 1
        del data


def test_first_moments_with_a_bound_keep_to_it_before_anything_was_measured(collector):
    collector.idle(0.001)
    data = [[] for _ in range(3 * gc.get_freeze_count())]
    assert collector.idle(0.0)["generation"] == 1
    assert collector.idle(0.0)["generation"] == 1
    assert len(data) > 0


def test_there_is_work_when_enough_has_gathered(collector):
    gc.collect()
    assert not collector.has_work()
    data = [[] for _ in range(gc.get_threshold()[0] * 9 // 10)]
    assert collector.has_work()
    collector.idle(None)
    assert not collector.has_work()
    assert len(data) > 0


def test_first_idle_moment_with_a_budget_is_short(collector):
    assert collector.idle(0.001)["generation"] == 1


def test_freeze_collects_first(collector):
    gc.collect()
    ref = cycle()
    assert IMMORTAL < collector.freeze() == pytest.approx(gc.get_freeze_count(), rel=0.01)
    assert ref() is None
    collector.undo()
    assert gc.get_freeze_count() <= IMMORTAL
