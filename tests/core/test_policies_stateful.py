"""Each policy's compiled cache beside its model, step by step, in random programs."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from raudo._core.cache import Cache
from raudo.testing import FakeClock
from reference.any_model import AnyModel
from reference.cache_model import MISS, CacheModel
from reference.fifo_model import FifoModel
from reference.lfu_model import LfuModel
from reference.lru_model import LruModel
from reference.s3fifo_model import S3FifoModel
from reference.sieve_model import SieveModel
from reference.tinylfu_model import TinyLfuModel
from reference.ttl_model import TtlModel

MODELS = {
    model.name: model
    for model in (LruModel, FifoModel, LfuModel, SieveModel, S3FifoModel, TinyLfuModel, TtlModel)
}
KEYS = st.one_of(st.integers(0, 15), st.sampled_from(["a", "b", ("c", 1)]))
TTLS = st.sampled_from([None, None, 1.0, 2.0, 5.0, math.inf])
SIZES = st.sampled_from([0, 1, 2, 3, 5, 8, 12])


class CacheMachine(RuleBasedStateMachine):
    """One random program over a cache and its model."""

    strategy: Any = "lru"
    make_policy: Any = LruModel

    @initialize(
        maxsize=SIZES, ttl=st.sampled_from([None, None, 3.0]), max_weight=st.sampled_from([None, 9])
    )
    def start(self, maxsize: int, ttl: float | None, max_weight: int | None) -> None:
        self.clock = FakeClock()
        self.reports: list[tuple[Any, ...]] = []
        self.serial = 0
        self.weights: dict[Any, int] = {}
        weighs = max_weight is not None
        strategy = self.strategy if isinstance(self.strategy, str) else self.strategy()
        self.cache: Cache[Any, Any] = Cache(
            maxsize,
            strategy=strategy,
            ttl=ttl,
            max_weight=max_weight,
            weigher=(lambda _, value: value[1]) if weighs else None,
            on_evict=lambda key, value, reason: self.reports.append((key, value, reason)),
            timer=self.clock,
        )
        self.model = CacheModel(self.make_policy(), maxsize, ttl, max_weight)
        self.weighs = weighs

    def value(self, weight: int) -> tuple[int, int]:
        self.serial += 1
        return self.serial, weight if self.weighs else 1

    def heard(self) -> list[tuple[Any, ...]]:
        reports, self.reports[:] = list(self.reports), []
        return reports

    @rule(key=KEYS, ttl=TTLS, weight=st.integers(0, 10))
    def set(self, key: Any, ttl: float | None, weight: int) -> None:
        value = self.value(weight)
        self.cache.set(key, value, ttl)
        self.model.set(key, value, ttl, value[1], self.heard())
        assert self.cache.peek(key, MISS) is self.model.peek(key)

    @rule(first=st.integers(0, 15), n=st.integers(1, 12))
    def set_a_run(self, first: int, n: int) -> None:
        for key in range(first, first + n):
            value = self.value(1)
            self.cache[key] = value
            self.model.set(key, value, None, value[1], self.heard())

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        value = self.cache.get(key, MISS)
        assert value is self.model.get(key, self.heard())

    @rule(keys=st.lists(KEYS, max_size=6))
    def get_many(self, keys: list[Any]) -> None:
        found = self.cache.get_many(keys)
        reports = self.heard()
        for key in keys:
            mine = [report for report in reports if report[0] == key]
            reports = [report for report in reports if report[0] != key]
            value = self.model.get(key, mine)
            if value is not MISS:
                assert found[key] is value
            else:
                assert key not in found
        self.model.drop_expired(reports)

    @rule(key=KEYS)
    def subscript(self, key: Any) -> None:
        if self.model.is_live(key):
            value = self.cache[key]
        else:
            with pytest.raises(KeyError) as caught:
                self.cache[key]
            assert caught.value.args == (key,)
            value = MISS
        assert value is self.model.get(key, self.heard())

    @rule(key=KEYS)
    def peek_and_contains(self, key: Any) -> None:
        value = self.model.peek(key)
        assert self.cache.peek(key, MISS) is value
        assert (key in self.cache) is (value is not MISS)
        self.model.drop_expired(self.heard())

    @rule(key=KEYS)
    def expires_in(self, key: Any) -> None:
        if self.model.is_live(key):
            expires = self.model.entries[key].expires
            left = None if expires is None else expires - self.clock()
            assert self.cache.expires_in(key) == left
        else:
            with pytest.raises(KeyError):
                self.cache.expires_in(key)
        self.model.drop_expired(self.heard())

    @rule(key=KEYS, ttl=TTLS)
    def touch(self, key: Any, ttl: float | None) -> None:
        touched = self.cache.touch(key, ttl)
        assert touched is self.model.touch(key, ttl, self.heard())

    @rule(key=KEYS)
    def delete(self, key: Any) -> None:
        try:
            del self.cache[key]
        except KeyError:
            assert self.model.pop(key, self.heard()) is MISS
        else:
            assert self.model.pop(key, self.heard()) is not MISS

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        value = self.cache.pop(key, MISS)
        assert value is self.model.pop(key, self.heard())

    @rule()
    def popitem(self) -> None:
        try:
            item: Any = self.cache.popitem()
        except KeyError:
            item = MISS
        assert item == self.model.popitem(self.heard())

    @rule(key=KEYS)
    def setdefault(self, key: Any) -> None:
        value = self.value(1)
        got = self.cache.setdefault(key, value)
        reports = self.heard()
        if self.model.is_live(key):
            assert got is self.model.get(key, reports)
            return
        assert got is value
        self.model.counts["misses"] += 1
        self.model.set(key, value, None, value[1], reports)

    @rule(key=KEYS, ttl=TTLS)
    def get_or_load(self, key: Any, ttl: float | None) -> None:
        value = self.value(1)
        got = self.cache.get_or_load(key, lambda _: value, ttl)
        reports = self.heard()
        if self.model.is_live(key):
            assert got is self.model.get(key, reports)
            return
        assert got is value
        self.model.counts["misses"] += 1
        self.model.set(key, value, ttl, value[1], reports)

    @rule(maxsize=SIZES)
    def resize(self, maxsize: int) -> None:
        self.cache.resize(maxsize)
        self.model.resize(maxsize, self.heard())

    @rule()
    def expire(self) -> None:
        n = self.cache.expire()
        expected = {key for key in self.model.entries if self.model.is_expired(key)}
        reports = self.heard()
        assert n == len(reports) == len(expected)
        self.model.drop_expired(reports)
        assert len(self.cache) == len(self.model.live())

    @precondition(lambda self: self.serial % 5 == 4)
    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear(self.heard())
        assert len(self.cache) == 0

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock()

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        model, cache = self.model, self.cache
        assert not self.reports
        live = model.live()
        items = list(cache.items())
        assert dict(items) == live
        assert len(items) == len(live)
        keys = list(cache)
        assert len(keys) == len(live)
        if model.policy.ordered:
            assert keys == [key for key in model.policy.order() if key in live]
        assert len(cache) == len(model.entries) <= cache.maxsize
        assert cache.weight == model.weight
        stats = cache.stats()
        assert [stats[name] for name in model.counts] == list(model.counts.values())
        assert model.n_sets == len(cache) + model.n_reported


def run(machine: type[CacheMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=30 if "RAUDO_SANITIZED" in os.environ else 300,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(400)  # a failure is made smaller for a few minutes
@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_compiled_policy_follows_its_model(name: str) -> None:
    run(type(name, (CacheMachine,), {"strategy": name, "make_policy": MODELS[name]}))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parallel_threads(1)
@pytest.mark.parametrize("name", ["adaptive", "ml"])
def test_policy_obeys_the_contract_whoever_it_evicts(name: str) -> None:
    run(type(name, (CacheMachine,), {"strategy": name, "make_policy": AnyModel}))
