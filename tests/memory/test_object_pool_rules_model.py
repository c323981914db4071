"""A pool with a limit, a check and ages against a short model, under arbitrary calls."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from raudo.errors import PoolExhausted
from raudo.memory import ObjectPool
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)  # one machine at a time


class Connection:
    def __init__(self, born):
        self.born = self.since = born
        self.is_alive: bool | None = True  # None: asking raises
        self.n_closed = 0


class RulesMachine(RuleBasedStateMachine):
    """The model: connections that are lent, and a stack of idle ones, each with its times."""

    MAX_SIZE = 3

    @initialize(
        limit=st.sampled_from([None, 1, 4]),
        max_age=st.sampled_from([None, 10.0]),
        max_idle=st.sampled_from([None, 3.0]),
    )
    def make_pool(self, limit, max_age, max_idle):
        self.limit, self.max_age, self.max_idle = limit, max_age, max_idle
        self.clock = FakeClock()
        self.lent: list[Connection] = []
        self.idle: list[Connection] = []
        self.closed: list[Connection] = []
        self.created = self.lost = 0
        self.fails = False
        self.pool = ObjectPool(
            self.make,
            self.MAX_SIZE,
            limit=limit,
            timeout=0,
            check=self.check,
            close=self.close,
            max_age=max_age,
            max_idle=max_idle,
            timer=self.clock,
        )

    def make(self):
        if self.fails:
            raise OSError
        self.created += 1
        return Connection(self.clock())

    def check(self, connection):
        if connection.is_alive is None:
            raise OSError
        return connection.is_alive

    def close(self, connection):
        connection.n_closed += 1
        self.closed.append(connection)

    def is_too_old(self, connection):
        now = self.clock()
        return (self.max_age is not None and now - connection.born >= self.max_age) or (
            self.max_idle is not None and now - connection.since >= self.max_idle
        )

    def expected(self):
        """Let go what is unfit; return the idle connection that is lent next, if there is one."""
        while self.idle and self.is_too_old(self.idle[0]):
            del self.idle[0]
        while self.idle:
            connection = self.idle.pop()
            if connection.is_alive and not self.is_too_old(connection):
                return connection
        return None

    @rule(fails=st.booleans())
    def acquire(self, fails):
        expected = self.expected()
        self.fails = fails
        if expected is not None:
            assert self.pool.acquire() is expected
            self.lent.append(expected)
        elif self.limit is not None and len(self.lent) >= self.limit:
            with pytest.raises(PoolExhausted):
                self.pool.acquire()
        elif fails:
            with pytest.raises(OSError):
                self.pool.acquire()
        else:
            made = self.pool.acquire()
            assert made.n_closed == 0
            assert made.born == self.clock()
            self.lent.append(made)
        self.fails = False

    @rule(at=st.integers(0, 30))
    def release(self, at):
        if not self.lent:
            return
        connection = self.lent.pop(at % len(self.lent))
        self.pool.release(connection)
        connection.since = self.clock()
        if not self.is_too_old(connection) and len(self.idle) < self.MAX_SIZE:
            self.idle.append(connection)
        else:
            assert connection.n_closed == 1

    @rule(at=st.integers(0, 30))
    def drop(self, at):
        if self.lent:
            del self.lent[at % len(self.lent)]
            self.lost += 1

    @rule(at=st.integers(0, 30), is_alive=st.sampled_from([False, None]))
    def break_one(self, at, is_alive):
        connections = [*self.lent, *self.idle]
        if connections:
            connections[at % len(connections)].is_alive = is_alive

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(keep=st.integers(0, 4))
    def trim(self, keep):
        n_dropped = max(0, len(self.idle) - keep)
        assert self.pool.trim(keep) == n_dropped
        del self.idle[:n_dropped]

    @invariant()
    def what_is_kept_is_open_and_the_rest_closed_once(self):
        assert all(each.n_closed == 0 for each in (*self.lent, *self.idle))
        assert all(each.n_closed == 1 for each in self.closed)

    @invariant()
    def counts_agree(self):
        stats = self.pool.stats()
        assert stats["created"] == self.created
        assert (stats["in_use"], stats["idle"]) == (len(self.lent), len(self.idle))
        assert stats["lost"] == self.lost
        rest = stats["in_use"] + stats["idle"] + stats["lost"]
        assert stats["discarded"] == self.created - rest


TestRulesMachine = RulesMachine.TestCase
TestRulesMachine.settings = settings(max_examples=200, stateful_step_count=50)
