"""Makes nested containers smaller without changing what they equal.

Parsed data repeats itself: equal strings, numbers and tuples that are separate objects become one.
Lists, dicts, sets and bytearrays keep room for what they once held: they are cut to size. A list of
dicts with the same keys becomes columns, a list of numbers an array (`folded`); other dicts of
the same keys share those.

Only exact built-in types are touched; instances of other classes, subclasses included, and what
they hold are left as they are. Types stay apart: 1, 1.0 and True equal each other but are not
interchangeable, nor are 0.0 and -0.0. No code of the data's own runs.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raudo._core.objects import common_keys, deep_size
from raudo._process import resident_bytes
from raudo.memory.columns import column_of, numbers_of
from raudo.memory.folded import Numbers, Records
from raudo.memory.malloc import give_back_free_pages
from raudo.memory.sharing import KeySharing

__all__ = ["Compaction", "compact", "compaction"]

T = TypeVar("T")

# Deeper levels are left as they are: the recursion must end before the interpreter's own limit.
_MOST_LEVELS = 100
# A shorter list loses more by being folded than it gains.
_FEWEST_ITEMS = 16


def compact(obj: T, *, in_place: bool = False) -> T:
    """Return something equal to `obj` with less memory behind it.

    Lists, dicts, sets and bytearrays are built anew, down to 100 levels, and `obj` stays as it was:
    what is won shows once it is dropped. A list of at least 16 dicts with the same `str` keys in
    the
    same order comes back as `raudo.memory.Records`, one of numbers as `raudo.memory.Numbers`: both
    behave as the list that they stand for, but are no `list`. Order stays everywhere.

    Args:
        in_place: Change the containers of `obj` themselves, and keep their types: repeated values
            become one, room is cut. The result is `obj`, or an equal one where it is immutable.

    Not for data that another thread is changing. Costs about as much as a `copy.deepcopy` of the
    containers.

    >>> rows = [{"city": "".join(["Li", "ma"]), "n": n} for n in range(100)]
    >>> small = compact(rows)
    >>> small == rows, small[7]["city"] is small[8]["city"]
    (True, True)
    >>> compact(rows, in_place=True) is rows and rows[0]["city"] is rows[1]["city"]
    True
    """
    compactor = _InPlace() if in_place else _Anew()
    try:
        compacted: T = compactor.visit(obj, 0)
    except _EntangledError:
        compacted = _Anew(makes_records=False).visit(obj, 0)
    return compacted


@dataclass(frozen=True, slots=True)
class Compaction(Generic[T]):
    """A compacted object, and what it came to in bytes.

    `before` and `after` are deep sizes; `resident_before` and `resident_after` what the process
    held (afterwards the old object is still there, unless it was compacted in place).
    """

    value: T
    before: int
    after: int
    resident_before: int
    resident_after: int

    @property
    def saved_ratio(self) -> float:
        """Share of the bytes that went, in [0, 1]."""
        return 1.0 - self.after / self.before if self.before else 0.0


def compaction(obj: T, *, in_place: bool = False) -> Compaction[T]:
    """Compact as `compact` does, measure before and after, and give free pages back to the system.

    >>> report = compaction([{"id": n, "city": "Lima"} for n in range(1000)])
    >>> report.saved_ratio > 0.5
    True
    """
    resident_before = resident_bytes()
    before = deep_size(obj)
    value = compact(obj, in_place=in_place)
    give_back_free_pages()
    return Compaction(value, before, deep_size(value), resident_before, resident_bytes())


class _EntangledError(Exception):
    """A value of a row refers to the row, or to the list: they have to stay what they are."""


class _Compactor:
    """What both ways share: one object for all equal values."""

    methods: dict[type, Callable[[Any, Any, int], Any]]

    def __init__(self) -> None:
        # By type and value: what stands for all that are equal to it.
        self._first: dict[type, dict[Hashable, Any]] = {kind: {} for kind in (*_KEYS, *_CONS)}
        # Containers done or under way, each kept so that its id stays its own, and what they
        # became.
        self._seen: dict[int, tuple[Any, Any]] = {}

    def visit(self, obj: Any, level: int) -> Any:
        kind = type(obj)
        key = _KEYS.get(kind)
        if key is not None:
            return self._first[kind].setdefault(key(obj), obj)
        method = self.methods.get(kind)
        if method is None or level == _MOST_LEVELS:
            return obj
        if id(obj) in self._seen:
            return self.again(obj)
        return method(self, obj, level + 1)

    def again(self, obj: Any) -> Any:
        return self._seen[id(obj)][1]

    def _tuple(self, obj: tuple[Any, ...], level: int) -> Any:
        return self._cons(obj, tuple, level)

    def _frozenset(self, obj: frozenset[Any], level: int) -> Any:
        return self._cons(obj, frozenset, level) if all(map(_is_plain, obj)) else obj

    def _cons(self, obj: Any, kind: Any, level: int) -> Any:
        items = [self.visit(each, level) for each in obj]
        # Its items stand for all their equals and are held by `_first`, so their ids are its value.
        # Items of other types are held by the one that is kept.
        key = kind(map(id, items))
        first = self._first[kind].get(key)
        if first is None:
            same = all(map(operator.is_, items, obj))
            first = self._first[kind][key] = obj if same else kind(items)
        return first


class _InPlace(_Compactor):
    def _list(self, obj: list[Any], level: int) -> list[Any]:
        self._seen[id(obj)] = obj, obj
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
        self._seen[id(obj)] = obj, obj
        if not all(map(_is_plain, obj)):  # to look such a key up may run anything
            for value in obj.values():
                if type(value) not in _KEYS and type(value) not in _CONS:
                    self.visit(value, level)
            return obj
        exact = {self.visit(k, level): self.visit(v, level) for k, v in obj.items()}
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
        self._seen[id(obj)] = obj, obj
        if not all(map(_is_plain, obj)):
            return obj
        exact = {self.visit(each, level) for each in obj}
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


class _Anew(_Compactor):
    def __init__(self, *, makes_records: bool = True) -> None:
        super().__init__()
        self._makes_records = makes_records
        self._sharing = KeySharing()
        self._pinned: set[int] = set()  # containers that something has referred to again
        self._under_way: set[int] = set()  # lists, and their rows, that are being made columns of

    def visit(self, obj: Any, level: int) -> Any:
        if id(obj) in self._under_way:
            raise _EntangledError
        return super().visit(obj, level)

    def again(self, obj: Any) -> Any:
        self._pinned.add(id(obj))
        return super().again(obj)

    def _list(self, obj: list[Any], level: int) -> Any:
        if len(obj) >= _FEWEST_ITEMS:
            numbers = numbers_of(obj)
            if numbers is not None:
                return self._done(obj, Numbers(numbers))
            keys = common_keys(obj) if self._makes_records else None
            records = self._records(obj, keys, level) if keys else None
            if records is not None:
                return self._done(obj, records)
        made: list[Any] = []
        self._done(obj, made)
        # Not one by one: that leaves room for more.
        made[:] = [self.visit(each, level) for each in obj]
        return made

    def _records(self, rows: list[Any], keys: tuple[str, ...], level: int) -> Records | None:
        """Return the rows as columns; None where one occurs twice, as columns would make two of
        it."""
        ids = set(map(id, rows))
        if len(ids) != len(rows) or not self._seen.keys().isdisjoint(ids):
            return None
        ids.add(id(rows))
        self._under_way |= ids
        columns = [
            column_of([row[key] for row in rows], lambda each: self.visit(each, level + 1))
            for key in keys
        ]
        self._under_way -= ids
        return Records(tuple(self.visit(key, level) for key in keys), columns)

    def _dict(self, obj: dict[Any, Any], level: int) -> dict[Any, Any]:
        if not all(map(_is_plain, obj)):
            return self._done(obj, obj)  # type: ignore[no-any-return]  # building one runs code of its keys
        made: dict[Any, Any] = {}
        self._done(obj, made)
        exact = {self.visit(k, level): self.visit(v, level) for k, v in obj.items()}
        if id(obj) in self._pinned:
            made.update(exact)
            return made
        shared: dict[Any, Any] = self._done(obj, self._sharing.share(exact))
        return shared

    def _set(self, obj: set[Any], level: int) -> set[Any]:
        if not all(map(_is_plain, obj)):
            return self._done(obj, obj.copy())  # type: ignore[no-any-return]
        return self._done(obj, {self.visit(each, level) for each in obj})  # type: ignore[no-any-return]

    def _bytearray(self, obj: bytearray, level: int) -> bytearray:
        return self._done(obj, bytearray(obj))  # type: ignore[no-any-return]

    def _done(self, obj: Any, made: Any) -> Any:
        self._seen[id(obj)] = obj, made
        return made


def _itself(obj: Any) -> Hashable:
    return obj  # type: ignore[no-any-return]


def _float_bits(obj: float) -> Hashable:
    return _pack_float(obj) if obj == obj else id(obj)


def _complex_bits(obj: complex) -> Hashable:
    return struct.pack("dd", obj.real, obj.imag) if obj == obj else id(obj)


def _is_plain(key: Any) -> bool:
    return type(key) in _PLAIN


_pack_float = struct.Struct("d").pack

# What tells values of a type apart. The bits of a float: they know -0.0 from 0.0. A NaN equals only
# itself, by its identity, in whatever holds it. bool and None exist once anyway.
_KEYS: dict[type, Callable[[Any], Hashable]] = {
    str: _itself,
    bytes: _itself,
    int: _itself,
    float: _float_bits,
    complex: _complex_bits,
}
_PLAIN = frozenset({*_KEYS, bool, type(None)})
_CONS = (tuple, frozenset)  # told apart by the identities of their items

for _way in (_InPlace, _Anew):
    _way.methods = {
        tuple: _way._tuple,
        frozenset: _way._frozenset,
        list: _way._list,
        dict: _way._dict,
        set: _way._set,
        bytearray: _way._bytearray,
    }
