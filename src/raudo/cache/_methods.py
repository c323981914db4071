"""Cached methods: the results live in the instance, and die with it.

They are kept in the instance's `__dict__`, so that a result which refers back to the instance is
an ordinary cycle. An instance without one is found by its weak reference. Copies and pickles of an
instance start with nothing remembered.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CachedMethod", "is_in_class_body"]

_ATTRIBUTE = "_raudo_cached"


def is_in_class_body(fn: Any) -> bool:
    """Say whether a function was defined directly in a class, by its qualified name."""
    outer, dot, _ = getattr(fn, "__qualname__", "").rpartition(".")
    return bool(dot) and not outer.endswith("<locals>")


class _Results:
    """The caches of one instance, by method. Equal to any other: it is no part of the state."""

    __slots__ = ("by_method", "owner")

    def __init__(self, instance: Any = None) -> None:
        self.by_method: dict[CachedMethod, Any] = {}
        self.owner = _reference(instance)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Results)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[_Results], tuple[()]]:
        return _Results, ()


def _reference(instance: Any) -> Callable[[], Any]:
    """Return a function that returns the instance, if it can be without keeping it alive."""
    if instance is None:
        return _nobody
    try:
        return weakref.ref(instance)
    except TypeError:  # kept in its own __dict__: a cycle, which the collector finds
        return lambda: instance


def _nobody() -> None:
    return None


class CachedMethod:
    """What a cached function in a class body becomes: a cache for each instance."""

    def __init__(self, fn: Callable[..., Any], build: Callable[[Any], Any]) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._build = build
        self._lock = threading.Lock()
        self._without_dict: dict[int, tuple[Any, Any]] = {}
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._plain: Any = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return _OfClass(self)
        return BoundMethod(instance, self._fn, self._cache_of(instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as a plain function, as a static method is: one cache for all."""
        with self._lock:
            if self._plain is None:
                self._plain = self._build(self._fn)
        return self._plain(*args, **kwargs)

    def _cache_of(self, instance: Any) -> Any:
        attributes = getattr(instance, "__dict__", None)
        if type(attributes) is not dict:
            return self._cache_by_reference(instance)
        results = attributes.get(_ATTRIBUTE)
        if results is None or results.owner() is not instance:  # none, or that of a copied instance
            with self._lock:
                results = attributes.get(_ATTRIBUTE)
                if results is None or results.owner() is not instance:
                    results = attributes[_ATTRIBUTE] = _Results(instance)
        found = results.by_method.get(self)
        if found is None:
            with self._lock:
                found = results.by_method.get(self)
                if found is None:
                    found = results.by_method[self] = self._new_cache(results.owner)
        return found

    def _cache_by_reference(self, instance: Any) -> Any:
        number = id(instance)
        known = self._without_dict.get(number)
        if known is not None and known[0]() is instance:
            return known[1]
        try:
            reference = weakref.ref(instance, lambda _: self._without_dict.pop(number, None))
        except TypeError:
            raise TypeError(
                f"results of {self._fn.__qualname__} cannot be kept with an instance of "
                f"{type(instance).__qualname__}, which has neither __dict__ nor __weakref__: add "
                "one of them to its __slots__, or give cached a key="
            ) from None
        with self._lock:
            found = self._new_cache(reference)
            self._without_dict[number] = reference, found
        return found

    def _new_cache(self, owner: Callable[[], Any]) -> Any:
        fn = self._fn

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            return fn(owner(), *args, **kwargs)

        found = self._build(call)
        self._known.add(found)
        return found

    def caches(self) -> Iterator[Any]:
        """Iterate over the caches of the instances that are alive."""
        yield from list(self._known)
        if self._plain is not None:
            yield self._plain

    def cache_info(self) -> Any:
        """Return the sums over all instances."""
        infos = [each.cache_info() for each in self.caches()]
        empty = self._build(self._fn).cache_info()
        return type(empty)(
            sum(info.hits for info in infos),
            sum(info.misses for info in infos),
            empty.maxsize,
            sum(info.currsize for info in infos),
        )

    def cache_clear(self) -> None:
        """Forget the results of all instances."""
        for each in self.caches():
            each.cache_clear()

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of such a call of it as a plain function."""
        return self._plain is not None and bool(self._plain.invalidate(*args, **kwargs))


class _OfClass:
    """The method as seen on its class: the first argument is the instance."""

    __slots__ = ("_method",)

    def __init__(self, method: CachedMethod) -> None:
        self._method = method

    def __call__(self, instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._method.__get__(instance)(*args, **kwargs)

    def invalidate(self, instance: Any, /, *args: Any, **kwargs: Any) -> bool:
        return bool(self._method._cache_of(instance).invalidate(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)


class BoundMethod:
    """The method as seen on an instance; keeps it alive as any bound method does."""

    __slots__ = ("__self__", "_cache", "_fn")

    def __init__(self, instance: Any, fn: Callable[..., Any], cache: Any) -> None:
        self.__self__ = instance
        self._fn = fn
        self._cache = cache

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call_as = getattr(self._cache, "call_as", None)
        if call_as is None:
            return self._cache(*args, **kwargs)
        # The coroutine outlives this object, and must keep the instance alive while it runs.
        return call_as(functools.partial(self._fn, self.__self__), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)
