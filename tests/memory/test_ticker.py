"""The thread that goes with its owner."""

from __future__ import annotations

import logging
import os
import threading
import weakref

import pytest

from raudo._ticker import Ticker

pytestmark = pytest.mark.parallel_threads(1)  # they fork


class Owner:
    def __init__(self, act=lambda: None, interval=0.002):
        self.act = act
        self.ticked = threading.Event()
        self.ticker = Ticker(self.tick, interval, "raudo-test-ticker")

    def tick(self):
        self.ticked.set()
        self.act()


def test_it_ticks_until_stopped():
    owner = Owner()
    assert not owner.ticker.is_running
    owner.ticker.start()
    assert owner.ticked.wait(10)
    thread = owner.ticker._thread
    owner.ticker.start()
    assert owner.ticker._thread is thread
    owner.ticker.stop()
    assert not thread.is_alive()
    owner.ticked.clear()
    owner.ticker.start()
    assert owner.ticked.wait(10)
    owner.ticker.stop()
    owner.ticker.stop()


def test_a_failing_tick_is_logged_and_the_next_one_comes(caplog):
    twice = threading.Semaphore(0)

    def fail():
        twice.release()
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR, "raudo.ticker"):
        owner = Owner(fail)
        owner.ticker.start()
        assert twice.acquire(timeout=10)
        assert twice.acquire(timeout=10)
        owner.ticker.stop()
    assert "a tick of raudo-test-ticker failed" in caplog.text


def test_dropped_owner_ends_the_thread_at_once():
    owner = Owner(interval=3600)
    owner.ticker.start()
    thread, ref = owner.ticker._thread, weakref.ref(owner)
    del owner
    assert ref() is None
    thread.join(10)
    assert not thread.is_alive()


def test_tick_may_stop_its_own_ticker():
    owner = Owner()
    owner.act = owner.ticker.stop
    owner.ticker.start()
    thread = owner.ticker._thread
    thread.join(10)
    assert not thread.is_alive()


def test_stop_waits_for_the_tick_under_way():
    entered, leave = threading.Event(), threading.Event()

    def act():
        entered.set()
        leave.wait(10)

    owner = Owner(act)
    owner.ticker.start()
    assert entered.wait(10)
    threading.Timer(0.02, leave.set).start()
    owner.ticker.stop()
    assert leave.is_set()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_no_thread_and_renews_the_owners_locks():
    owner = Owner(interval=3600)
    renewed = []
    owner._after_fork_in_child = lambda: renewed.append(True)
    owner.ticker.start()
    pid = os.fork()
    if pid == 0:
        ok = renewed == [True] and not owner.ticker.is_running
        owner.ticker.start()
        ok = ok and owner.ticker.is_running
        owner.ticker.stop()
        os._exit(0 if ok else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert renewed == []
    owner.ticker.stop()
