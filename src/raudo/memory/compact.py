"""Makes nested containers smaller without changing what they equal.

Three things are won. Parsed data repeats itself: equal strings, numbers and tuples that are
separate objects become one. Lists, dicts, sets and bytearrays keep room for what they once held:
they are cut to size. And what equal tuples held twice is freed with them.

Only exact built-in types are touched; instances of other classes, subclasses included, and what
they hold are left as they are. Types stay apart: 1, 1.0 and True equal each other but are not
interchangeable, nor are 0.0 and -0.0.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["compact"]

T = TypeVar("T")

# Deeper levels are left as they are: the recursion must end before the interpreter's own limit.
_MOST_LEVELS = 100


def compact(obj: T) -> T:
    """Return `obj` with less memory behind it.

    Lists, dicts, sets and bytearrays are compacted in place and returned themselves; so are those
    that they hold, at any depth up to 100. An immutable `obj` may be replaced by an equal one. The
    order of lists and dicts stays.

    Not for data that another thread is using: a container that is cut to size is for a moment
    empty. Costs about as much as a `copy.deepcopy` of the containers, and while it runs one
    reference to each distinct value.

    >>> rows = [{"city": "".join(["Li", "ma"]), "n": n} for n in range(2)]
    >>> rows[0]["city"] is rows[1]["city"]
    False
    >>> compact(rows) is rows and rows[0]["city"] is rows[1]["city"]
    True
    """
    compacted: T = _Compactor().visit(obj, 0)
    return compacted


class _Compactor:
    def __init__(self) -> None:
        # By type and value: what stands for all that are equal to it.
        self._first: dict[type, dict[Hashable, Any]] = {kind: {} for kind in (*_KEYS, *_CONS)}
        self._seen: dict[int, Any] = {}  # containers done or under way, kept so that ids stay valid

    def visit(self, obj: Any, level: int) -> Any:
        kind = type(obj)
        key = _KEYS.get(kind)
        if key is not None:
            return self._first[kind].setdefault(key(obj), obj)
        method = _METHODS.get(kind)
        if method is None or level == _MOST_LEVELS or id(obj) in self._seen:
            return obj
        return method(self, obj, level + 1)

    def _tuple(self, obj: tuple[Any, ...], level: int) -> tuple[Any, ...]:
        items = [self.visit(each, level) for each in obj]
        # Its items stand for all their equals and are held by `_first`, so their ids are its value.
        # Items of other types are held by the tuple that is kept.
        key = tuple(map(id, items))
        first: tuple[Any, ...] | None = self._first[tuple].get(key)
        if first is None:
            same = all(map(operator.is_, items, obj))
            first = self._first[tuple][key] = obj if same else tuple(items)
        return first

    def _frozenset(self, obj: frozenset[Any], level: int) -> frozenset[Any]:
        items = [self.visit(each, level) for each in obj]
        key = frozenset(map(id, items))
        first: frozenset[Any] | None = self._first[frozenset].get(key)
        if first is None:
            same = all(map(operator.is_, items, obj))
            first = self._first[frozenset][key] = obj if same else frozenset(items)
        return first

    def _list(self, obj: list[Any], level: int) -> list[Any]:
        self._seen[id(obj)] = obj
        for at, item in enumerate(obj):
            compacted = self.visit(item, level)
            if compacted is not item:
                obj[at] = compacted
        exact = obj.copy()
        if exact.__sizeof__() < obj.__sizeof__():
            obj.clear()
            obj.extend(exact)
        return obj

    def _dict(self, obj: dict[Any, Any], level: int) -> dict[Any, Any]:
        self._seen[id(obj)] = obj
        exact = {self.visit(k, level): self.visit(v, level) for k, v in obj.items()}
        if len(exact) != len(obj):
            return obj  # keys with an unsteady __eq__ or __hash__: not ours to touch
        smaller = exact.__sizeof__() < obj.__sizeof__()
        if smaller or not all(map(operator.is_, exact, obj)):
            obj.clear()
            obj.update(exact)
        else:
            for key, value in exact.items():
                if obj[key] is not value:
                    obj[key] = value
        return obj

    def _set(self, obj: set[Any], level: int) -> set[Any]:
        self._seen[id(obj)] = obj
        exact = {self.visit(each, level) for each in obj}
        if len(exact) != len(obj):
            return obj
        smaller = exact.__sizeof__() < obj.__sizeof__()
        if smaller or not all(map(operator.is_, exact, obj)):
            obj.clear()
            obj.update(exact)
        return obj

    def _bytearray(self, obj: bytearray, level: int) -> bytearray:
        exact = bytes(obj)
        if obj.__alloc__() > len(exact) + 1:
            try:
                obj.clear()
            except BufferError:  # a memoryview looks at it
                return obj
            obj.extend(exact)
        return obj


def _itself(obj: Any) -> Hashable:
    return obj  # type: ignore[no-any-return]


def _complex_bits(obj: complex) -> bytes:
    return struct.pack("dd", obj.real, obj.imag)


# What tells values of a type apart. The bits of a float: they know -0.0 from 0.0, and NaN equals
# nothing by `==`. bool and None exist once anyway.
_KEYS: dict[type, Callable[[Any], Hashable]] = {
    str: _itself,
    bytes: _itself,
    int: _itself,
    float: struct.Struct("d").pack,
    complex: _complex_bits,
}
_CONS = (tuple, frozenset)  # told apart by the identities of their items
_METHODS: dict[type, Callable[[_Compactor, Any, int], Any]] = {
    tuple: _Compactor._tuple,
    frozenset: _Compactor._frozenset,
    list: _Compactor._list,
    dict: _Compactor._dict,
    set: _Compactor._set,
    bytearray: _Compactor._bytearray,
}
