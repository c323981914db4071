"""`cached` and `cachedmethod`: memoise in a mapping of the caller's.

For methods a descriptor makes one memoised method for each instance, at the first access, and
leaves it in the instance's `__dict__`, where the next access finds it without coming here. A method
that is reached through `super()` is kept apart, so that a subclass's method of the same name is not
replaced.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from raudo._core.compat_memo import FunctionMemo, MethodMemo
from raudo.compat.cachetools import keys
from raudo.compat.cachetools._caches import Cache

__all__ = ["CacheInfo", "cached", "cachedmethod"]

_OVERRIDDEN = "__cachetools_cachedmethods"  # where an instance keeps what super() reaches


class CacheInfo(NamedTuple):
    """Statistics of a memoised function; `maxsize` is None where its cache has none."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float


def _info(cache: Any, hits: int, misses: int) -> CacheInfo:
    if isinstance(cache, Cache):
        return CacheInfo(hits, misses, cache.maxsize, cache.currsize)
    return CacheInfo(hits, misses, None, len(cache))


def cached(
    cache: Any,
    key: Callable[..., Any] = keys.hashkey,
    lock: Any = None,
    condition: Any = None,
    info: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Memoise a function in `cache`, any mutable mapping.

    Args:
        cache: Holds the results; may be shared where the keys differ.
        key: Makes the key of a call's arguments.
        lock: Context manager around each use of the cache; the function runs outside it.
        condition: `threading.Condition` or alike; callers of a key that is being computed wait.
            It is the lock too where `lock` is None.
        info: Whether the function gets a `cache_info`.

    Raises:
        TypeError: `cache` is None.
    """
    if cache is None:
        raise TypeError("cache must be a mutable mapping, got None")

    def decorate(fn: Callable[..., Any]) -> Any:
        memo = FunctionMemo(fn, cache, key, lock, condition, _info if info else None)
        return functools.update_wrapper(memo, fn)

    return decorate


def _attribute_of(owner: type, name: str) -> Any:
    return owner.__dict__[name]


class _Descriptor:
    """What stands in the class in the place of the method."""

    def __init__(
        self,
        method: Callable[..., Any],
        cache: Callable[[Any], Any],
        key: Callable[..., Any],
        lock: Callable[[Any], Any] | None,
        condition: Callable[[Any], Any] | None,
        info: bool,
    ) -> None:
        functools.update_wrapper(self, method)
        self.method = method
        self.cache = cache
        self.key = key
        self.lock = lock
        self.condition = condition
        self.info = _info if info else None
        self.owner: type | None = None
        self.name: str | None = None
        self.unbound: _Unbound | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        if self.name is None:
            self.owner, self.name = owner, name
        elif name != self.name:
            raise TypeError(f"a cachedmethod has one name: it is {self.name!r}, not {name!r} too")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        name = self.name
        if name is None:
            if isinstance(instance, type):  # how a classmethod of Python 3.11 and 3.12 binds
                self._refuse()
            raise TypeError("a cachedmethod must be assigned to a name in the body of a class")
        if instance is None:
            if self.unbound is None:
                self.unbound = _Unbound(self)
            return self.unbound
        found = next((c.__dict__[name] for c in type(instance).__mro__ if name in c.__dict__), None)
        kept: dict[Any, Any]
        place: Any
        try:
            if found is self:
                kept, place = instance.__dict__, name
            else:
                kept, place = instance.__dict__.setdefault(_OVERRIDDEN, {}), self
        except AttributeError:
            self._no_dict(instance)
        except TypeError:
            self._frozen_dict(instance)
        memo = kept.get(place)
        if memo is None:
            memo = self.make(instance)
            try:
                memo = kept.setdefault(place, memo)  # of two threads the first wins
            except TypeError:
                self._frozen_dict(instance)
        return memo

    def make(self, instance: Any) -> Any:
        bound = types.MethodType(self.method, instance)
        settings = (self.cache, self.key, self.lock, self.condition, self.info)
        memo = MethodMemo(bound, *settings, self, instance)
        return functools.update_wrapper(memo, self.method)

    def _no_dict(self, instance: object) -> NoReturn:
        raise TypeError(
            f"No '__dict__' attribute on {type(instance).__name__!r} instance to keep "
            f"the memoised {self.name!r} in"
        ) from None

    def _frozen_dict(self, instance: object) -> NoReturn:
        raise TypeError(
            f"The '__dict__' of a {type(instance).__name__!r} instance does not support item "
            f"assignment, so the memoised {self.name!r} cannot be kept in it"
        ) from None

    def _refuse(self) -> NoReturn:
        raise TypeError(
            "a cachedmethod cannot be called before it is bound: it must be the outermost "
            "decorator, and a class method, static method or property cannot be one"
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def __reduce__(self) -> tuple[Any, ...]:
        return _attribute_of, (self.owner, self.name)


class _Unbound:
    """What access through the class gives: takes the instance first, as a function would.

    An instance of a class and not a function, so that `unittest.mock.create_autospec` does not
    count the instance among the arguments.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, descriptor: _Descriptor) -> None:
        functools.update_wrapper(self, descriptor.method)
        self._raudo_descriptor = descriptor

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._raudo_descriptor.__get__(instance)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if args:
            instance, *args = args  # type: ignore[assignment]
        else:
            try:
                instance = kwargs.pop(self._raudo_first_parameter)
            except KeyError:
                raise TypeError(
                    "a cachedmethod that is called through its class needs an instance"
                ) from None
        return self._raudo_descriptor.__get__(instance)(*args, **kwargs)

    @functools.cached_property
    def _raudo_first_parameter(self) -> str:
        """Name by which the instance may be given, empty where it cannot be."""
        try:
            first = next(iter(inspect.signature(self.__wrapped__).parameters.values()))
        except (ValueError, StopIteration):
            return ""
        return first.name if first.kind is first.POSITIONAL_OR_KEYWORD else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return self._raudo_descriptor.__get__, (None,)

    def __repr__(self) -> str:
        return f"<cachedmethod {self.__wrapped__!r}>"


def cachedmethod(
    cache: Callable[[Any], Any],
    key: Callable[..., Any] = keys.methodkey,
    lock: Callable[[Any], Any] | None = None,
    condition: Callable[[Any], Any] | None = None,
    info: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Memoise a method in the mapping that `cache(self)` returns.

    Args:
        cache: Called with the instance, returns the mapping that holds its results.
        key: Makes the key of the instance and the arguments; the default leaves the instance out.
        lock, condition: Called with the instance, return what `cached` takes under these names.
        info: Whether the method gets a `cache_info`, counted for each instance.

    Raises:
        TypeError: `cache` is not callable; at the first access, when the instance has no
            `__dict__` that could be written.
    """
    if not callable(cache):
        raise TypeError(f"cache must be callable with an instance, got {cache!r}")

    def decorate(method: Callable[..., Any]) -> Any:
        return _Descriptor(method, cache, key, lock, condition, info)

    return decorate
