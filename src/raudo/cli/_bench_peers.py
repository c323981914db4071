"""Every cache that raudo is compared with, behind one small adapter each.

An adapter gives the library's own bound methods, not wrappers of them: what is timed is what a user
of that library would call. Only libraries that are installed appear.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["MAIN", "PEERS", "Peer", "Subject", "installed", "version_of"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One cache of a given capacity, by what it can do; None for what it cannot."""

    get: Callable[[Any], Any] | None = None
    """`get(key)`; for a missing key it returns what `miss` is."""
    mapping: Any = None
    """The object that takes `c[k]` and `c[k] = v`."""
    set: Callable[[Any, Any], Any] | None = None
    """`set(key, value)`, for libraries without `c[k] = v`."""
    memo: Callable[[Any], Any] | None = None
    """`bool`, memoised."""
    miss: Any = None
    hit: Callable[[Any], Any] = lambda value: value
    """Makes what `get` returns of a value."""
    size: Callable[[], int] | None = None
    clear: Callable[[], Any] | None = None
    bounded: bool = True

    @property
    def is_decorator_only(self) -> bool:
        return self.mapping is None and self.set is None


@dataclass(frozen=True, slots=True)
class Peer:
    """A named way to make subjects; `package` is what has to be installed."""

    name: str
    package: str
    make: Callable[[int], Subject]
    ours: bool = False


def _raudo(strategy: str) -> Callable[[int], Subject]:
    def make(capacity: int) -> Subject:
        import raudo

        cache: Any = raudo.Cache(capacity, strategy=strategy)
        memo = raudo.cached(maxsize=capacity, strategy=strategy)(bool)
        return Subject(
            get=cache.get, mapping=cache, memo=memo, size=cache.__len__, clear=cache.clear
        )

    return make


def _raudo_lru_cache(capacity: int) -> Subject:
    import raudo

    memo: Any = raudo.lru_cache(maxsize=capacity)(bool)
    return Subject(memo=memo, clear=memo.cache_clear)


def _dict(capacity: int) -> Subject:
    cache: dict[Any, Any] = {}
    return Subject(
        get=cache.get, mapping=cache, size=cache.__len__, clear=cache.clear, bounded=False
    )


def _lru_cache(capacity: int) -> Subject:
    memo = functools.lru_cache(maxsize=capacity)(bool)
    return Subject(memo=memo, clear=memo.cache_clear)


def _cachetools(kind: str) -> Callable[[int], Subject]:
    def make(capacity: int) -> Subject:
        cachetools = importlib.import_module("cachetools")
        cache = getattr(cachetools, kind)(capacity)
        memo = cachetools.cached(getattr(cachetools, kind)(capacity))(bool)
        return Subject(
            get=cache.get, mapping=cache, memo=memo, size=cache.__len__, clear=cache.clear
        )

    return make


def _cachebox(kind: str) -> Callable[[int], Subject]:
    def make(capacity: int) -> Subject:
        cachebox = importlib.import_module("cachebox")
        cache = getattr(cachebox, kind)(capacity)
        memo = cachebox.cached(getattr(cachebox, kind)(capacity))(bool)
        return Subject(
            get=cache.get, mapping=cache, memo=memo, size=cache.__len__, clear=cache.clear
        )

    return make


def _lru_dict(capacity: int) -> Subject:
    cache = importlib.import_module("lru").LRU(capacity)
    return Subject(get=cache.get, mapping=cache, size=cache.__len__, clear=cache.clear)


def _theine(capacity: int) -> Subject:
    theine = importlib.import_module("theine")
    cache = theine.Cache(capacity)
    return Subject(
        get=cache.get,
        set=cache.set,
        memo=theine.Memoize(capacity, None)(bool),
        miss=(None, False),
        hit=lambda value: (value, True),
        size=cache.__len__,
        clear=cache.clear,
    )


def _moka(capacity: int) -> Subject:
    moka = importlib.import_module("moka_py")
    cache = moka.Moka(capacity)

    def size() -> int:
        cache.run_pending_tasks()
        n_entries: int = cache.count()
        return n_entries

    def clear() -> None:
        cache.clear()
        size()  # its clear() only takes note, and leaves the work to later calls

    memo = moka.cached(maxsize=capacity)(bool)
    return Subject(get=cache.get, set=cache.set, memo=memo, size=size, clear=clear)


PEERS = (
    Peer("dict", "", _dict),
    Peer("functools.lru_cache", "", _lru_cache),
    Peer("raudo", "raudo", _raudo("adaptive"), ours=True),
    Peer("raudo ml", "raudo", _raudo("ml"), ours=True),
    Peer("raudo lru", "raudo", _raudo("lru"), ours=True),
    Peer("raudo sieve", "raudo", _raudo("sieve"), ours=True),
    Peer("raudo s3fifo", "raudo", _raudo("s3fifo"), ours=True),
    Peer("raudo lfu", "raudo", _raudo("lfu"), ours=True),
    Peer("raudo fifo", "raudo", _raudo("fifo"), ours=True),
    Peer("raudo.lru_cache", "raudo", _raudo_lru_cache, ours=True),
    Peer("cachetools LRU", "cachetools", _cachetools("LRUCache")),
    Peer("cachetools LFU", "cachetools", _cachetools("LFUCache")),
    Peer("cachebox LRU", "cachebox", _cachebox("LRUCache")),
    Peer("cachebox FIFO", "cachebox", _cachebox("FIFOCache")),
    Peer("lru-dict", "lru-dict", _lru_dict),
    Peer("theine", "theine", _theine),
    Peer("moka-py", "moka-py", _moka),
)

# Those of every section: the default strategy, exact LRU, and the best form of each library.
MAIN = (
    "dict",
    "functools.lru_cache",
    "raudo",
    "raudo lru",
    "cachetools LRU",
    "cachebox LRU",
    "cachebox FIFO",
    "lru-dict",
    "theine",
    "moka-py",
)


def version_of(package: str) -> str | None:
    """Return the installed version of a package, None where it is not installed."""
    if package == "raudo":  # also from a source tree that is merely on the path
        from raudo import __version__

        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def installed() -> Iterator[Peer]:
    """Yield the peers that can be run here."""
    for peer in PEERS:
        if not peer.package or version_of(peer.package) is not None:
            yield peer
