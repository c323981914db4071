"""The compiled buffer pool against a short model, under arbitrary sequences of calls."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raudo.memory import BufferPool

pytestmark = pytest.mark.parallel_threads(1)  # one machine at a time

SIZES = [64, 65, 100, 1000, 1023, 5000, 70_000, 300_000]


def class_of(size):
    """Four classes to a doubling, from 64 on."""
    doubling = 64
    while True:
        for quarters in (4, 5, 6, 7):
            if doubling * quarters // 4 >= size:
                return doubling * quarters // 4
        doubling *= 2


def address_of(buffer):
    return id(buffer) if isinstance(buffer, bytearray) else buffer.ctypes.data


class Lent:
    def __init__(self, shelf, lease, buffer, mark):
        self.shelf, self.lease, self.buffer, self.mark = shelf, lease, buffer, mark
        self.address = address_of(buffer)

    def is_untouched(self):
        return self.buffer[0] == self.buffer[-1] == self.mark


class BufferMachine(RuleBasedStateMachine):
    """The model: what is lent, and shelves of what is idle, oldest first.

    Some of that is kept hold of by its former borrower, and may not be lent.
    """

    LIMIT = 400_000

    def __init__(self):
        super().__init__()
        self.pool = BufferPool(self.LIMIT)
        self.lent: list[Lent] = []
        self.shelves: dict[tuple[bool, int], list[Lent]] = {}
        self.used: dict[tuple[bool, int], int] = {}
        self.created = self.reused = self.discarded = self.returns = self.marks = 0

    def held(self):
        return sum(shelf[1] * len(idle) for shelf, idle in self.shelves.items())

    def kept(self):
        return [each for idle in self.shelves.values() for each in idle if each.buffer is not None]

    @rule(size=st.sampled_from(SIZES), is_array=st.booleans(), zeroed=st.booleans())
    def borrow(self, size, is_array, zeroed):
        shelf = is_array, class_of(size)
        idle = self.shelves.setdefault(shelf, [])
        free = [each for each in idle if each.buffer is None]
        borrow = self.pool.borrow if is_array else self.pool.borrow_bytes
        lease = borrow(size, "uint8", zeroed=zeroed) if is_array else borrow(size, zeroed=zeroed)
        buffer = lease.__enter__()
        assert len(buffer) == size
        assert not zeroed or not any(bytes(buffer))
        if free:
            assert address_of(buffer) == free[-1].address
            idle.remove(free[-1])
            self.reused += 1
        else:
            others = [each.address for each in (*self.lent, *self.kept())]
            assert address_of(buffer) not in others
            self.created += 1
        self.marks += 1
        buffer[0] = buffer[-1] = self.marks % 251
        self.lent.append(Lent(shelf, lease, buffer, self.marks % 251))

    @rule(at=st.integers(0, 30), keeps_hold=st.booleans())
    def give_back(self, at, keeps_hold):
        if not self.lent:
            return
        back = self.lent.pop(at % len(self.lent))
        assert back.is_untouched()
        if not keeps_hold:
            back.buffer = None
        back.lease.__exit__(None, None, None)
        back.lease = None
        self.returns += 1
        self.shelves[back.shelf].append(back)
        self.used[back.shelf] = self.returns
        self.drop_to(self.LIMIT)

    @rule(at=st.integers(0, 30))
    def let_go(self, at):
        kept = self.kept()
        if kept:
            kept[at % len(kept)].buffer = None

    @rule(keep_bytes=st.sampled_from([0, 100, 10_000, 200_000]))
    def trim(self, keep_bytes):
        before = self.held()
        self.drop_to(keep_bytes)
        assert self.pool.trim(keep_bytes) == before - self.held()

    def drop_to(self, keep_bytes):
        while self.held() > keep_bytes:
            filled = [shelf for shelf, idle in self.shelves.items() if idle]
            self.shelves[min(filled, key=lambda shelf: self.used[shelf])].pop(0)
            self.discarded += 1

    @invariant()
    def nobody_else_wrote(self):
        assert all(each.is_untouched() for each in (*self.lent, *self.kept()))

    @invariant()
    def counts_agree(self):
        stats = self.pool.stats()
        assert stats["held_bytes"] == self.held() <= self.LIMIT
        assert stats["idle"] == sum(map(len, self.shelves.values()))
        assert stats["in_use"] == len(self.lent)
        counts = self.created, self.reused, self.discarded
        assert (stats["created"], stats["reused"], stats["discarded"]) == counts


TestBufferMachine = BufferMachine.TestCase
TestBufferMachine.settings = settings(max_examples=150, stateful_step_count=50)
