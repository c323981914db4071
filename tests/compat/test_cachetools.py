"""`raudo.compat.cachetools` beside cachetools itself, in random programs; and what hooks may do."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest

import raudo.compat.cachetools as ours

theirs: Any = pytest.importorskip("cachetools", minversion="8.0")

CLASSES = ("Cache", "FIFOCache", "LFUCache", "LRUCache", "RRCache", "TTLCache", "TLRUCache")


class Ticks:
    """A clock that can be pickled."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, ticks: float) -> None:
        self.now += ticks


def expires(key: Any, value: Any, now: float) -> float:
    return now + value % 5


def smallest(keys: Any) -> Any:
    return min(keys)


def size_of(value: int) -> int:
    return value % 4


def make(library: Any, name: str, variant: str, clock: Ticks, log: list[Any]) -> Any:
    """Return a cache of the class, or of a subclass that logs what its hooks are called with."""
    kind = getattr(library, name)
    settings: dict[str, Any] = {"maxsize": 6}
    if name == "TTLCache":
        settings |= {"ttl": 3, "timer": clock}
    if name == "TLRUCache":
        settings |= {"ttu": expires, "timer": clock}
    if name == "RRCache":
        settings["choice"] = smallest
    if variant == "sized":
        settings["getsizeof"] = size_of
    if variant in ("plain", "sized"):
        return kind(**settings)

    class Hooked(kind):  # type: ignore[misc, valid-type]
        if variant == "popitem":

            def popitem(self) -> Any:
                item = super().popitem()
                log.append(("popitem", item))
                return item

        elif variant == "delitem":

            def __delitem__(self, key: Any) -> None:
                log.append(("delitem", key))
                super().__delitem__(key)

        elif variant == "missing":

            def __missing__(self, key: Any) -> Any:
                log.append(("missing", key))
                if key % 2:
                    return -key
                self[key] = key
                return key

        elif variant == "getitem":

            def __getitem__(self, key: Any) -> Any:
                log.append(("getitem", key))
                return super().__getitem__(key)

        elif variant == "setitem":

            def __setitem__(self, key: Any, value: Any) -> None:
                log.append(("setitem", key))
                super().__setitem__(key, value)

        elif variant == "getsizeof":

            @staticmethod
            def getsizeof(value: Any) -> int:
                return 1 + int(value % 3)

    return Hooked(**settings)


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (KeyError, ValueError) as error:
        return type(error)


VARIANTS = (
    *("plain", "sized", "popitem", "delitem", "missing", "getitem", "setitem", "getsizeof"),
)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CLASSES)
def test_does_what_cachetools_does(name: str, variant: str) -> None:
    for seed in range(25):
        random_ = random.Random(seed)
        sides = []
        for library in (ours, theirs):
            log: list[Any] = []
            clock = Ticks()
            sides.append((make(library, name, variant, clock, log), clock, log))
        for step in range(60):
            key, value = random_.randrange(10), random_.randrange(100)
            act = random_.randrange(16)
            did = [_act(act, key, value, cache, clock) for cache, clock, _ in sides]
            assert did[0] == did[1], (seed, step, act, key, value)
            assert sides[0][2] == sides[1][2], (seed, step, act, key, value)
            seen = [(list(cache), len(cache), cache.currsize) for cache, _, _ in sides]
            assert seen[0] == seen[1], (seed, step, act, key, value)
        drained = [[outcome(cache.popitem) for _ in range(8)] for cache, _, _ in sides]
        assert drained[0] == drained[1], seed


def _act(act: int, key: int, value: int, cache: Any, clock: Ticks) -> Any:
    if act < 5:
        return outcome(lambda: cache.__setitem__(key, value))
    if act < 8:
        return outcome(lambda: cache[key])
    if act == 8:
        return outcome(lambda: cache.get(key, "none"))
    if act == 9:
        return outcome(lambda: cache.pop(key, None))
    if act == 10:
        return outcome(lambda: cache.__delitem__(key))
    if act == 11:
        return outcome(lambda: cache.setdefault(key, value))
    if act == 12:
        return outcome(cache.popitem)
    if act == 13:
        clock.advance(1.0)
        return key in cache
    if act == 14:
        twin = copy.copy(cache)
        return list(twin), [outcome(twin.popitem) for _ in range(3)]
    return repr(cache), cache == cache, list(cache.items())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_a_twin_evicts_in_the_same_order(name: str, how: str) -> None:
    make_twin: dict[str, Callable[[Any], Any]] = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda cache: pickle.loads(pickle.dumps(cache)),
    }
    cache = make(ours, name, "plain", Ticks(), [])
    for i in range(1, 9):
        cache[i] = i + 1 if name == "TLRUCache" else i
        cache.get(i // 2)
    twin = make_twin[how](cache)
    assert type(twin) is type(cache)
    assert list(twin) == list(cache)
    assert repr(twin) == repr(cache)
    if name != "Cache":  # its popitem takes any
        drained = [[outcome(each.popitem) for _ in range(9)] for each in (twin, cache)]
        assert drained[0] == drained[1]


def test_public_names_are_those_of_cachetools() -> None:
    assert set(ours.__all__) >= set(theirs.__all__)
    import cachetools.func
    import cachetools.keys

    import raudo.compat.cachetools.func as our_func

    assert set(our_func.__all__) == set(cachetools.func.__all__)
    assert set(ours.keys.__all__) == set(cachetools.keys.__all__)
    assert ours.__version__.split(".")[0] == theirs.__version__.split(".")[0]


def test_an_instance_s_own_popitem_is_called_for_evictions() -> None:
    for name in ("LRUCache", "FIFOCache", "TTLCache"):
        cache = make(ours, name, "plain", Ticks(), [])
        evicted: list[Any] = []
        original = cache.popitem
        cache.popitem = lambda original=original, evicted=evicted: evicted.append(original())
        for i in range(8):
            cache[i] = i
        assert evicted == [(0, 0), (1, 1)]


def test_import_is_the_whole_migration() -> None:
    namespace: dict[str, Any] = {}
    exec(
        "import raudo.compat.cachetools as cachetools\n"
        "@cachetools.cached(cachetools.LRUCache(maxsize=32), info=True)\n"
        "def square(x): return x * x\n"
        "square(3); square(3)\n",
        namespace,
    )
    assert namespace["square"].cache_info() == (1, 1, 32, 1)
    assert namespace["square"].cache_key(3) == ours.keys.hashkey(3)
