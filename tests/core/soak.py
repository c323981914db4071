"""Mixed work of many threads on one cache, with books that must balance exactly at the end.

Each thread has a seeded source of chance and books of its own; what user code does that runs inside
the cache (listener, loader, weigher, `__eq__`, `__del__`) is in the books of the thread it runs in.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raudo._core.cache import Cache
from raudo.testing import FakeClock

N_NAMES = 90
SIZES = (15, 30, 60)
MAX_WEIGHT = 200


@dataclass(frozen=True, slots=True)
class Setting:
    """What a cache under test is made with; `plain` takes the short ways of the core."""

    name: str
    listens: bool = False
    weighs: bool = False
    expires: bool = False
    clock: bool = False
    """A clock that the threads move; the system's otherwise."""


SETTINGS = (
    Setting("plain"),
    Setting("listener", listens=True),
    Setting("weights", listens=True, weighs=True),
    Setting("expiry", listens=True, expires=True),
    Setting("everything", listens=True, weighs=True, expires=True, clock=True),
)


class Key:
    """A key whose hash and equality are Python code; now and then equality uses the cache."""

    __slots__ = ("name", "soak")

    def __init__(self, name: int, soak: Soak) -> None:
        self.name = name
        self.soak = soak

    def __hash__(self) -> int:
        return self.name % 7

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        self.soak.interfere(200)
        return self.name == other.name


class Value:
    """Knows the key it belongs to; some use the cache when they die."""

    __slots__ = ("name", "soak", "weight")

    def __init__(self, name: int, weight: int, soak: Soak) -> None:
        self.name = name
        self.weight = weight
        self.soak = soak


class Restless(Value):
    __slots__ = ()

    def __del__(self) -> None:
        self.soak.interfere(3)


class Books(threading.local):
    """One thread's account of what it did."""

    def __init__(self, all_books: list[Counter[str]]) -> None:
        self.count: Counter[str] = Counter()
        self.random = random.Random(len(all_books))
        self.is_inside = False
        all_books.append(self.count)


class Soak:
    """One cache, worked on by `n_threads`; `run` raises where a promise is broken."""

    def __init__(self, strategy: Any, setting: Setting, seed: int, n_threads: int = 8) -> None:
        self.setting = setting
        self.seed = seed
        self.n_threads = n_threads
        self.all_books: list[Counter[str]] = []
        self.books = Books(self.all_books)
        self.clock = FakeClock()
        self.loading: Counter[int] = Counter()
        self.kept_loads: Counter[int] = Counter()
        self.errors: list[BaseException] = []
        self.is_over = False
        made: dict[str, Any] = {"strategy": strategy}
        if setting.listens:
            made["on_evict"] = self.listen
        if setting.weighs:
            made |= {"weigher": self.weigh, "max_weight": MAX_WEIGHT}
        if setting.expires:
            made["ttl"] = 5.0
        if setting.clock:
            made["timer"] = self.clock
        self.cache: Cache[Any, Any] = Cache(SIZES[1], **made)
        # Nothing ever leaves this one, so that each key is loaded once in all.
        self.kept: Cache[int, Any] = Cache(
            None, strategy=strategy if isinstance(strategy, str) else "lru"
        )

    # --- user code that runs inside the cache ---

    def listen(self, key: Any, value: Value, reason: str) -> None:
        self.expect(value.name == name_of(key), f"{key!r} left with the value of {value.name}")
        self.books.count["heard"] += 1
        self.interfere(40)

    def weigh(self, key: Any, value: Value) -> int:
        self.expect(value.name == name_of(key), "weighed with the value of another key")
        self.interfere(100)
        return value.weight

    def load(self, key: Any) -> Value:
        name = name_of(key)
        self.loading[name] += 1
        self.expect(self.loading[name] == 1, f"two loads of {name} at the same time")
        try:
            chance = self.books.random
            if chance.randrange(8) == 0:
                raise LookupError(name)
            if name >= 10 and chance.randrange(3) == 0:  # downwards only: no circle of loads
                self.get_or_load(name % 10)
            return self.value(name)
        finally:
            self.loading[name] -= 1

    def load_kept(self, key: int) -> Value:
        self.kept_loads[key] += 1
        return Value(key, 1, self)

    def interfere(self, one_in: int) -> None:
        """Use the cache from within it, one level deep."""
        books = self.books
        if books.is_inside or self.is_over or books.random.randrange(one_in):
            return
        books.is_inside = True
        try:
            act = books.random.randrange(6)
            name = books.random.randrange(N_NAMES)
            if act == 0:
                self.get(name)
            elif act == 1:
                self.set(name, None)
            elif act == 2:
                self.cache.pop(name, None)
            elif act == 3:
                list(self.cache.items())
            elif act == 4:
                self.cache.resize(books.random.choice(SIZES))
            else:
                self.cache.peek(name)
        finally:
            books.is_inside = False

    # --- one operation each, booked ---

    def expect(self, claim: bool, what: str) -> None:
        if not claim:
            self.errors.append(AssertionError(what))

    def key(self, name: int) -> Any:
        """Names are of four kinds of key, always the same for a name."""
        kind = name % 4
        if kind == 0:
            return name
        if kind == 1:
            return f"name:{name}"
        return (name, "pair") if kind == 2 else Key(name, self)

    def value(self, name: int) -> Value:
        chance = self.books.random
        weight = chance.choice((0, 1, 1, 2, 5, 12, 60, MAX_WEIGHT + 1))
        kind = Restless if chance.randrange(20) == 0 else Value
        return kind(name, weight, self)

    def right(self, value: Value | None, name: int) -> None:
        if value is not None and value.name != name:
            by = sys._getframe(1).f_code.co_name
            self.expect(False, f"{by} gave the value of {value.name} for {name}")

    def get(self, name: int) -> None:
        self.books.count["lookups"] += 1
        self.right(self.cache.get(self.key(name)), name)

    def subscript(self, name: int) -> None:
        self.books.count["lookups"] += 1
        with contextlib.suppress(KeyError):
            self.right(self.cache[self.key(name)], name)

    def get_many(self, name: int) -> None:
        names = range(name, name + 5)
        self.books.count["lookups"] += len(names)
        for key, value in self.cache.get_many([self.key(each) for each in names]).items():
            self.right(value, name_of(key))

    def set(self, name: int, ttl: float | None) -> None:
        self.books.count["sets"] += 1
        self.cache.set(self.key(name), self.value(name), ttl)

    def set_item(self, name: int) -> None:
        self.books.count["sets"] += 1
        self.cache[self.key(name)] = self.value(name)

    def set_many(self, name: int) -> None:
        self.books.count["sets"] += 3
        self.cache.update((self.key(each), self.value(each)) for each in range(name, name + 3))

    def setdefault(self, name: int) -> None:
        mine = self.value(name)
        self.books.count["lookups"] += 1
        found = self.cache.setdefault(self.key(name), mine)
        self.right(found, name)
        self.books.count["sets"] += found is mine

    def get_or_load(self, name: int) -> None:
        self.books.count["lookups"] += 1

        def load(key: Any) -> Value:
            value = self.load(key)
            self.books.count["sets"] += 1
            return value

        with contextlib.suppress(LookupError):
            self.right(self.cache.get_or_load(self.key(name), load), name)

    def step(self, name: int) -> None:
        chance, cache = self.books.random, self.cache
        act = chance.randrange(100)
        if act < 30:
            self.get(name)
        elif act < 38:
            self.subscript(name)
        elif act < 55:
            self.set_item(name)
        elif act < 60:
            self.set(name, self.ttl())
        elif act < 65:
            self.get_or_load(name)
        elif act < 68:
            self.kept.get_or_load(name, self.load_kept)
        elif act < 72:
            self.get_many(name)
        elif act < 75:
            self.set_many(name)
        elif act < 79:
            self.setdefault(name)
        elif act < 84:
            self.right(cache.pop(self.key(name), None), name)
        elif act < 87:
            with contextlib.suppress(KeyError):
                del cache[self.key(name)]
        elif act < 89:
            with contextlib.suppress(KeyError):
                key, value = cache.popitem()
                self.right(value, name_of(key))
        elif act < 92:
            self.right(cache.peek(self.key(name)), name)
            self.expect(len(cache) <= max(SIZES), f"{len(cache)} entries")
            self.expect(cache.weight <= MAX_WEIGHT or not self.setting.weighs, "too heavy")
        elif act < 94:
            cache.touch(self.key(name), self.ttl())
        elif act < 96:
            for key, value in cache.items():
                self.right(value, name_of(key))
        elif act < 97:
            cache.resize(chance.choice(SIZES))
        elif act < 98:
            self.clock.advance(chance.choice((0.0, 0.4, 2.0)))
            cache.expire()
        elif chance.randrange(10) == 0:
            cache.clear()
        else:
            with contextlib.suppress(KeyError):
                cache.expires_in(self.key(name))

    def ttl(self) -> float | None:
        if not self.setting.expires:
            return None
        # With the system's clock 20 microseconds pass, in the middle of the work.
        return self.books.random.choice((None, 2e-5, 0.5, 3.0, math.inf))

    # --- the whole ---

    def run(self, n_steps: int) -> None:
        """Let every thread do `n_steps`, then check the books."""
        start = threading.Barrier(self.n_threads)

        def work(i: int) -> None:
            try:
                self.books.random = random.Random(self.seed * 1_000 + i)
                start.wait(60)
                for _ in range(n_steps):
                    self.step(self.books.random.randrange(N_NAMES))
            except BaseException as error:
                self.errors.append(error)

        threads = [
            threading.Thread(target=work, args=(i,), daemon=True) for i in range(self.n_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
            assert not thread.is_alive(), "a thread hangs"
        self.is_over = True
        if self.errors:
            raise self.errors[0]
        self.check()

    def check(self) -> None:
        cache = self.cache
        for key in list(cache):
            cache.touch(key, math.inf)
        cache.expire()
        keys, items = list(cache), list(cache.items())
        assert len(cache) == len(keys) == len(set(keys)) == len(items) == len(list(cache.values()))
        assert len(cache) <= cache.maxsize
        for key, value in items:
            assert value.name == name_of(key)
            assert cache.peek(key) is value
        weights = [value.weight if self.setting.weighs else 1 for _, value in items]
        assert cache.weight == sum(weights)
        assert cache.max_weight is None or cache.weight <= cache.max_weight
        total = sum(self.all_books, Counter())
        stats = cache.stats()
        assert stats["hits"] + stats["misses"] == total["lookups"]
        assert stats["inserts"] + stats["updates"] + stats["refused"] == total["sets"]
        left = stats["evictions"] + stats["expirations"] + stats["removals"]
        assert stats["inserts"] == len(cache) + left
        if self.setting.listens:
            assert total["sets"] == len(cache) + total["heard"]
        assert set(self.kept_loads.values()) <= {1}
        assert len(self.kept_loads) == len(self.kept)
        cache.clear()
        assert (len(cache), cache.weight, list(cache)) == (0, 0, [])
        if self.setting.listens:
            assert total["sets"] == sum(books["heard"] for books in self.all_books)


def name_of(key: Any) -> int:
    if isinstance(key, Key):
        return key.name
    if isinstance(key, str):
        return int(key[5:])
    return key[0] if isinstance(key, tuple) else key


def soak(
    make: Callable[[], Any], *, seeds: Callable[[], bool], n_steps: int, first_seed: int = 0
) -> int:
    """Run every setting once for each seed that `seeds` allows, at least one; return how many."""
    seed = first_seed
    while True:
        for setting in SETTINGS:
            try:
                Soak(make(), setting, seed).run(n_steps)
            except BaseException as error:
                error.add_note(f"soak: setting {setting.name!r}, seed {seed}")
                raise
        seed += 1
        if not seeds():
            return seed - first_seed
