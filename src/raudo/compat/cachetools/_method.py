"""`cachedmethod`: memoise a method in a mapping that belongs to the instance.

A descriptor makes one memoised method for each instance, at the first access, and leaves it in the
instance's `__dict__`, where the next access finds it without coming here. A method that is reached
through `super()` is kept apart, so that a subclass's method of the same name is not replaced.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, NoReturn

from raudo.compat.cachetools import keys
from raudo.compat.cachetools._memo import (
    CountedMemo,
    LockedCountedMemo,
    LockedMemo,
    Memo,
    WaitingCountedMemo,
    WaitingMemo,
    kind_of,
)

__all__ = ["cachedmethod"]

_OVERRIDDEN = "__cachetools_cachedmethods"  # where an instance keeps what super() reaches


class _Method(Memo):
    """A memoised method of one instance; asks it for its cache and lock at each call."""

    __wrapped__: Callable[..., Any]

    def __init__(self, instance: Any, descriptor: _Descriptor) -> None:
        functools.update_wrapper(self, descriptor.method)
        self._raudo_instance = instance
        self._raudo_descriptor = descriptor
        self.cache_key = functools.partial(descriptor.key, instance)
        self.prepare(types.MethodType(descriptor.method, instance))

    @property
    def cache(self) -> Any:
        return self._raudo_descriptor.cache(self._raudo_instance)

    @property
    def cache_lock(self) -> Any:
        lock = self._raudo_descriptor.lock
        return None if lock is None else lock(self._raudo_instance)

    @property
    def cache_condition(self) -> Any:
        condition = self._raudo_descriptor.condition
        return None if condition is None else condition(self._raudo_instance)

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew when loaded: locks do not pickle, and statistics begin at zero.
        return _method_of, (self._raudo_descriptor, self._raudo_instance)

    def __repr__(self) -> str:
        owner = object.__repr__(self._raudo_instance)
        return f"<cachedmethod {self.__wrapped__!r} of {owner}>"


class _Plain(_Method, Memo): ...


class _Counted(_Method, CountedMemo): ...


class _Locked(_Method, LockedMemo): ...


class _LockedCounted(_Method, LockedCountedMemo): ...


class _Waiting(_Method, WaitingMemo): ...


class _WaitingCounted(_Method, WaitingCountedMemo): ...


_CLASS_OF: dict[type[Memo], type[_Method]] = {
    Memo: _Plain,
    CountedMemo: _Counted,
    LockedMemo: _Locked,
    LockedCountedMemo: _LockedCounted,
    WaitingMemo: _Waiting,
    WaitingCountedMemo: _WaitingCounted,
}


def _method_of(descriptor: _Descriptor, instance: Any) -> Any:
    return descriptor.__get__(instance)


def _attribute_of(owner: type, name: str) -> Any:
    return owner.__dict__[name]


class _Descriptor:
    """What stands in the class in the place of the method."""

    def __init__(
        self,
        method: Callable[..., Any],
        make: type[_Method],
        cache: Callable[[Any], Any],
        key: Callable[..., Any],
        lock: Callable[[Any], Any] | None,
        condition: Callable[[Any], Any] | None,
    ) -> None:
        functools.update_wrapper(self, method)
        self.method = method
        self.make = make
        self.cache = cache
        self.key = key
        self.lock = condition if lock is None else lock
        self.condition = condition
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
            memo = self.make(instance, self)
            try:
                memo = kept.setdefault(place, memo)  # of two threads the first wins
            except TypeError:
                self._frozen_dict(instance)
        return memo

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
        return _method_of, (self._raudo_descriptor, None)

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
    make = _CLASS_OF[kind_of(lock, condition, info)]

    def decorate(method: Callable[..., Any]) -> Any:
        return _Descriptor(method, make, cache, key, lock, condition)

    return decorate
