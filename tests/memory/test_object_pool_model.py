"""The compiled pool against a short model, under arbitrary sequences of calls."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raudo.errors import PoolError
from raudo.memory import ObjectPool

pytestmark = pytest.mark.parallel_threads(1)  # one machine at a time


class Plain:
    pass


class PoolMachine(RuleBasedStateMachine):
    """The model: objects lent (in order), objects idle (a stack), and how many are gone."""

    MAX_SIZE = 6

    def __init__(self):
        super().__init__()
        self.lent: list[object] = []
        self.idle: list[object] = []
        self.gone = 0
        self.low = 0  # fewest idle since trim_unused
        self.created = 0
        self.fails = False
        self.factory = list
        self.pool = ObjectPool(lambda: self.make(), max_size=self.MAX_SIZE, reset=self.reset)

    def make(self):
        if self.fails:
            raise OSError
        self.created += 1
        return self.factory()

    def reset(self, obj):
        if self.fails:
            raise OSError

    @rule(factory=st.sampled_from([list, dict, set, bytearray, Plain]))
    def make_others(self, factory):
        self.factory = factory

    @rule(fails=st.booleans())
    def acquire(self, fails):
        self.fails = fails and not self.idle
        if self.fails:
            with pytest.raises(OSError):
                self.pool.acquire()
        else:
            obj = self.pool.acquire()
            if self.idle:
                assert obj is self.idle.pop()
                self.low = min(self.low, len(self.idle))
            self.lent.append(obj)
        self.fails = False

    @rule(at=st.integers(0, 30), fails=st.booleans())
    def release(self, at, fails):
        if not self.lent:
            return
        obj = self.lent.pop(at % len(self.lent))
        if isinstance(obj, list):
            obj.append(obj)
        self.fails = fails
        if fails:
            with pytest.raises(OSError):
                self.pool.release(obj)
            if isinstance(obj, list):
                obj.clear()
            self.gone += 1
        else:
            self.pool.release(obj)
            if len(self.idle) < self.MAX_SIZE:
                self.idle.append(obj)
            else:
                self.gone += 1
        self.fails = False

    @rule(at=st.integers(0, 30))
    def drop(self, at):
        if self.lent:
            del self.lent[at % len(self.lent)]
            self.gone += 1

    @rule(at=st.integers(0, 30))
    def release_again(self, at):
        if self.idle:
            with pytest.raises(PoolError, match="twice"):
                self.pool.release(self.idle[at % len(self.idle)])

    @rule()
    def release_a_stranger(self):
        stranger = self.factory()
        with pytest.raises(PoolError):
            self.pool.release(stranger)

    @rule(keep=st.integers(0, 8))
    def trim(self, keep):
        n_dropped = max(0, len(self.idle) - keep)
        assert self.pool.trim(keep) == n_dropped
        self.gone += n_dropped
        del self.idle[:n_dropped]
        self.low = max(0, self.low - n_dropped)

    @rule()
    def trim_unused(self):
        assert self.pool.trim_unused() == self.low
        self.gone += self.low
        del self.idle[: self.low]
        self.low = len(self.idle)

    @invariant()
    def counts_agree(self):
        assert self.pool.idle == len(self.idle)
        assert self.pool.in_use >= len(self.lent)  # what was dropped is missed later

    def teardown(self):
        stats = self.pool.stats()
        assert stats["created"] == self.created
        assert stats["in_use"] == len(self.lent)
        assert stats["discarded"] + stats["lost"] == self.gone


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=300, stateful_step_count=50)
