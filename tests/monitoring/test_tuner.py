"""The tuner with a fake clock: what it changes, keeps and takes back; and its three knobs."""

from __future__ import annotations

import gc
import logging
import random
import threading

import pytest

from raudo import AsyncProcessor, Cache, SmartCache
from raudo.monitoring import Monitor
from raudo.monitoring.knobs import CacheSize, GcThreshold, Workers
from raudo.monitoring.tuner import Proposal, Tuner
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)


class Dial:
    """A knob whose score depends on its value by a function of the test."""

    def __init__(self, score_at, wanted, start=10, name="dial"):
        self.name, self.at, self.score_at, self.wanted = name, start, score_at, list(wanted)
        self.turned = []

    def value(self):
        return self.at

    def turn(self, value):
        self.turned.append(value)
        self.at = value

    def mark(self, time):
        self.marked = time

    def score(self, time):
        return self.score_at(self.at)

    def propose(self, score):
        return Proposal(self.wanted.pop(0), "the test says so") if self.wanted else None

    def is_worth(self, before, after, old, new):
        return after > before


def run(tuner, clock, windows):
    for _ in range(windows):
        tuner.step()
        clock.advance(30)


def tuner_of(*knobs):
    clock = FakeClock()
    return Tuner(*knobs, interval=30, clock=clock), clock


def test_change_that_helps_is_kept_and_logged_with_its_effect(caplog):
    dial = Dial(lambda at: at / 10, [20])
    tuner, clock = tuner_of(dial)
    with caplog.at_level(logging.INFO, "raudo.monitoring.tuner"):
        run(tuner, clock, 4)
    assert dial.turned == [20]
    (action,) = tuner.actions
    assert (action.old, action.new, action.before, action.after) == (10, 20, 1.0, 2.0)
    assert not action.undone
    assert "dial 10 -> 20 (the test says so): 1 -> 2" in caplog.text


def test_change_that_hurts_is_undone_and_the_knob_left_alone(caplog):
    dial = Dial(lambda at: -at, [20] * 10)
    tuner, clock = tuner_of(dial)
    run(tuner, clock, 4)
    assert dial.turned == [20, 10]
    assert tuner.actions[0].undone
    assert "-10 -> -20, undone" in caplog.text
    run(tuner, clock, 9)
    assert dial.turned == [20, 10]
    run(tuner, clock, 4)
    assert dial.turned == [20, 10, 20, 10]
    run(tuner, clock, 18)  # twice as long
    assert len(dial.turned) == 4
    run(tuner, clock, 4)
    assert len(dial.turned) == 6


def test_nothing_is_changed_before_a_window_was_measured():
    dial = Dial(lambda at: 1.0, [20])
    tuner, _ = tuner_of(dial)
    tuner.step()
    assert dial.turned == []
    tuner.step()
    assert dial.turned == [20]


def test_one_change_at_a_time_and_each_knob_in_turn():
    dials = [Dial(lambda at: at, [20, 30], name=name) for name in "ab"]
    tuner, clock = tuner_of(*dials)
    run(tuner, clock, 14)
    assert [action.knob for action in tuner.actions] == ["a", "b", "a", "b"]
    assert all(action.after is not None for action in tuner.actions)


def test_window_without_traffic_is_waited_for_and_then_given_up():
    scores = {"now": 1.0}
    dial = Dial(lambda at: scores["now"], [20, 20])
    tuner, clock = tuner_of(dial)
    run(tuner, clock, 3)
    assert dial.turned == [20]
    scores["now"] = None
    run(tuner, clock, 2)
    assert dial.turned == [20]
    run(tuner, clock, 1)
    assert dial.turned == [20, 10]
    assert "no effect to be seen, undone" in str(tuner.actions[0])


@pytest.mark.parametrize("where", ["score", "propose", "turn", "mark", "is_worth"])
def test_knob_that_raises_is_undone_and_the_others_go_on(where, caplog):
    bad, good = Dial(lambda at: at, [20], name="bad"), Dial(lambda at: at, [20], name="good")

    def fail(*args):
        if where == "turn":
            del bad.turn  # once
            bad.at = args[0]
        raise RuntimeError("broken")

    setattr(bad, where, fail)
    tuner, clock = tuner_of(bad, good)
    run(tuner, clock, 8)
    assert bad.at == 10
    assert good.at == 20
    assert "the knob bad failed" in caplog.text
    assert {s.name: s.value for s in tuner.samples()}["raudo_tuner_errors_total"] >= 1


def test_stop_undoes_what_is_not_judged_and_reset_all():
    dial = Dial(lambda at: at, [20, 30])
    tuner, clock = tuner_of(dial)
    run(tuner, clock, 4)
    assert dial.at == 20
    run(tuner, clock, 1)
    assert dial.at == 30
    tuner.stop()
    assert dial.at == 20
    tuner.reset()
    assert dial.at == 10


def test_tuner_is_off_until_it_is_started_and_is_watched():
    tuner = Tuner(Dial(lambda at: 1, [20]))
    metrics = Monitor(tuner, process=False).snapshot()["metrics"]
    assert metrics['raudo_tuner_value{knob="dial"}'] == 10
    assert metrics["raudo_tuner_actions_total"] == 0
    with tuner:
        assert tuner._ticker.is_running
    assert not tuner._ticker.is_running


def look_up(get, n_keys, n, seed=3):
    rng = random.Random(seed)
    for _ in range(n):
        get(rng.randrange(n_keys))


@pytest.mark.parametrize("is_smart", [False, True])
def test_cache_grows_while_its_advisor_expects_hits_and_stays_in_bounds(is_smart):
    if is_smart:
        cache = SmartCache(100, levels=(1, 0, 0), strategy="lru", name="users")
        lookup, store = cache.get_nowait, cache.set_nowait
    else:
        cache = Cache(100, strategy="lru", advise=True)
        lookup, store = cache.get, cache.set

    def get(key):
        if lookup(key) is None:
            store(key, str(key))

    knob = CacheSize(cache, 50, 300)
    tuner, clock = tuner_of(knob)
    sizes = []
    for _ in range(14):
        look_up(get, 400, 4000)
        tuner.step()
        clock.advance(30)
        sizes.append(knob.value())
    assert sizes[-1] == 300
    assert {100, 200, 300} == set(sizes)
    first = tuner.actions[0]
    assert first.after > first.before + 0.1
    assert "points more" in first.reason
    if is_smart:
        cache.close_nowait()


def test_cache_that_is_too_large_shrinks_and_comes_back_if_that_hurts():
    cache = Cache(400, strategy="lru", advise=True)

    def get(key):
        if cache.get(key) is None:
            cache[key] = True

    knob = CacheSize(cache, 50, 400)
    tuner, clock = tuner_of(knob)
    for _ in range(8):
        look_up(get, 60, 3000)
        tuner.step()
        clock.advance(30)
    assert knob.value() == 100
    assert not any(action.undone for action in tuner.actions)
    look_up(get, 60, 3000)
    tuner.step()
    n = len(tuner.actions)
    before = knob.value()
    for _ in range(3):  # what is asked for changes while it shrinks
        look_up(get, 4000, 3000)
        tuner.step()
        clock.advance(30)
    assert knob.value() >= before
    assert len(tuner.actions) >= n


def test_smart_cache_resizes_all_levels_and_keeps_its_accounts():
    cache = SmartCache(100, levels=(0.2, 0.3, 0.5))
    for n in range(100):
        cache.set_nowait(n, n)
    cache.resize(40)
    stats = cache.get_stats()
    assert cache.max_size == 40
    assert len(cache) <= 40
    assert stats["sets"] == stats["size"] + stats["evictions"]
    cache.resize(200)
    for n in range(200):
        cache.set_nowait(n, n)
    assert len(cache) == 200
    with pytest.raises(ValueError, match="at least 3"):
        cache.resize(2)
    cache.close_nowait()


async def test_workers_grow_while_tasks_wait_and_it_helps():
    async with AsyncProcessor(2, auto_scale=False, use_processes=False) as processor:
        knob = Workers(processor, 2, 8)
        assert knob.value() == 2
        stats = {"running": 10, "queue_size": 5, "processed_tasks": 0}
        processor.get_stats = lambda: stats
        tuner, clock = tuner_of(knob)
        rate_at = {2: 100, 3: 150, 4: 200, 5: 250, 7: 252, 8: 252}
        for _ in range(16):
            stats["processed_tasks"] += rate_at[knob.value()] * 30
            tuner.step()
            clock.advance(30)
        assert [action.new for action in tuner.actions] == [3, 4, 5, 7]
        assert tuner.actions[-1].undone
        assert processor.max_workers == 5
        stats |= {"running": 1, "queue_size": 0}
        tuner.reset()
        assert processor.max_workers == 2


async def test_more_workers_are_used_and_fewer_leave():
    at_once, most = 0, 0
    wait = threading.Event()

    def work():
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        wait.wait(0.01)
        at_once -= 1

    async with AsyncProcessor(2, auto_scale=False, use_processes=False) as processor:
        for n in (2, 6, 3):
            processor.max_workers = n
            await processor.process_batch([(work, ())] * 8, 16, kind="thread")
            most = 0
            await processor.process_batch([(work, ())] * 24, 16, kind="thread")
            assert most <= n
            assert most > n // 2
        with pytest.raises(ValueError, match="max_workers"):
            processor.max_workers = 0


def test_collector_is_asked_less_often_where_it_takes_too_much():
    found = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        knob = GcThreshold(700, 5000)
        share = {"now": 0.05}
        knob.score = lambda time: 1 - share["now"]
        tuner, clock = tuner_of(knob)
        for _ in range(20):
            tuner.step()
            clock.advance(30)
            share["now"] = 0.05 * 700 / knob.value()
        assert knob.value() == 5000
        assert [action.new for action in tuner.actions] == [1400, 2800, 5000]
        assert gc.get_threshold()[1:] == (10, 10)
        tuner.reset()
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*found)


def test_collectors_time_is_measured():
    knob = GcThreshold()
    knob.mark(0.0)
    gc.collect()
    assert knob.score(1.0) < 1.0
    n = len(gc.callbacks)
    del knob
    assert len(gc.callbacks) == n - 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tuner(interval=0), "interval is 0"),
        (lambda: CacheSize(Cache(10, advise=True), 5, 2), "at_least and at_most are 5 and 2"),
        (lambda: CacheSize(Cache(10, advise=True), 5, 20, gain=0), "gain is 0"),
        (lambda: GcThreshold(most=1), "most is 1"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cache_without_an_advisor_is_refused():
    with pytest.raises(RuntimeError, match="advise=True"):
        CacheSize(Cache(10), 1, 20)
