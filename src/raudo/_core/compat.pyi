from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, TypeVar, overload

from typing_extensions import disjoint_base

from raudo._core.compat_hooks import Hooked

_K = TypeVar("_K")
_V = TypeVar("_V")
_T = TypeVar("_T")

@disjoint_base
class Node:
    """An entry. Never leaves its cache."""

@disjoint_base
class Plain(Hooked, Generic[_K, _V]):
    """cachetools' `Cache`: bounded, evicts what was inserted longest ago.

    Not thread-safe as a whole, as there: without a lock an operation of two steps, such as a set that
    evicts, may meet another thread's between them. No state that this leaves is invalid.
    """

    _raudo_kind: ClassVar[str]
    def __init__(self, maxsize: float, getsizeof: Callable[[_V], float] | None = None) -> None: ...
    def _raudo_start(
        self,
        maxsize: float,
        getsizeof: Callable[[_V], float] | None,
        setting: Any,
    ) -> None: ...
    @property
    def _raudo_setting(self) -> Any: ...
    def __getitem__(self, key: _K, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: _K, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __missing__(self, key: _K) -> _V:
        """Answer a look-up of an absent key; raises KeyError unless overridden."""
    def __iter__(self) -> Iterator[_K]: ...
    def __len__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> Any: ...
    @overload
    def get(self, key: _K, default: None = None) -> _V | None:
        """Return the value, or the default on a miss."""
    @overload
    def get(self, key: _K, default: _V | _T) -> _V | _T: ...
    @overload
    def pop(self, key: _K) -> _V:
        """Remove the key and return its value; the default, or KeyError, where it is absent."""
    @overload
    def pop(self, key: _K, default: _V | _T) -> _V | _T: ...
    @overload
    def setdefault(self: Plain[_K, _T | None], key: _K, default: None = None) -> _T | None:
        """Return the value; where the key is absent set it to the default first."""
    @overload
    def setdefault(self, key: _K, default: _V) -> _V: ...
    def popitem(self) -> tuple[_K, _V]:
        """Remove and return the item inserted longest ago; KeyError when empty."""
    def clear(self) -> None:
        """Remove all items."""
    @property
    def maxsize(self) -> float:
        """Bound on the sum of the sizes."""
    @property
    def currsize(self) -> float:
        """Sum of the sizes."""
    @staticmethod
    def getsizeof(value: Any) -> float:
        """Return the size of a value: 1 unless overridden."""

class Ordered(Plain[_K, _V]):
    """cachetools' `FIFOCache`, `LFUCache`, `LRUCache` and `RRCache`."""
