"""Values whose own code comes back into the cache while bytes are made of them."""

import random

import pytest

from cache.smart_caches import accounts_balance, where
from raudo.cache import SmartCache
from raudo.errors import RaudoError


class Hostile:
    """Does something to the cache whenever it is pickled."""

    def __init__(self, key, act):
        self.key, self.act = key, act

    def __reduce__(self):
        self.act(self.key)
        return RaudoError, ()


def fail_with(error):
    def act(key):
        raise error

    return act


@pytest.mark.timeout(30, method="thread")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shares", [(0.2, 0.8, 0), (0.2, 0.4, 0.4), (0.2, 0, 0.8)])
@pytest.mark.parametrize("what", ["get", "set", "delete", "clear", "memory", "recursion", "stop"])
def test_accounts_balance_whatever_a_value_does(what, shares):
    cache = SmartCache(40, levels=shares)
    act = {
        "get": cache.get_nowait,
        "set": lambda key: cache.set_nowait(key, {"new": key}),
        "delete": cache.delete_nowait,
        "clear": lambda key: cache.clear_nowait(),
        "memory": fail_with(MemoryError()),
        "recursion": fail_with(RecursionError()),
        "stop": fail_with(KeyboardInterrupt()),
    }[what]
    rng = random.Random(5)
    for _ in range(600):
        key, chance = rng.randrange(100), rng.random()
        try:
            if chance < 0.5:
                hostile = rng.random() < 0.3
                cache.set_nowait(key, Hostile(key, act) if hostile else {"value": key})
            elif chance < 0.9:
                cache.get_nowait(key)
            else:
                cache.delete_nowait(key)
        except KeyboardInterrupt:
            assert what == "stop"
    assert len(cache) <= 40
    where(cache, *range(100))  # no key in two levels
    assert accounts_balance(cache)
    cache.clear_nowait()
    assert len(cache) == 0
    cache.close_nowait()


@pytest.mark.parametrize("size", [1, 600_000])  # made bytes of with the lock, and without it
def test_what_a_value_sets_under_its_own_key_is_not_overwritten_by_it(size):
    with SmartCache(10, "lru", levels=(0.2, 0.8, 0)) as cache:
        hostile = Hostile("k", lambda key: cache.set_nowait(key, "new"))
        hostile.ballast = bytes(size)
        cache.set_nowait("k", hostile)
        cache.set_nowait("a", 1)
        cache.set_nowait("b", 2)
        cache._levels.down.carry_all()
        assert cache.get_nowait("k") == "new"
        assert accounts_balance(cache)
