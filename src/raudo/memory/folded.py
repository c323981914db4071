"""Lists in fewer bytes: `Numbers` of an array, and `Records` of columns.

Each is equal to the list it stands for, and takes every call that a list takes. Reading and item
assignment work on the small form; whatever moves items (insert, delete, sort, append, slices) first
unfolds it to the list that it was, for good. `isinstance(x, list)` is False, and what insists on a
list (`json.dumps`, C extensions) wants `list(x)`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, SupportsIndex, TypeVar, overload
from weakref import WeakValueDictionary

from raudo.memory.columns import Column

__all__ = ["Folded", "Numbers", "Record", "Records"]

T = TypeVar("T")
_EMPTY: Any = ()


class Folded(MutableSequence[T]):
    """A list in a smaller form; `_unfolded` is the list once it had to be made."""

    __slots__ = ("__weakref__", "_unfolded")

    def __init__(self) -> None:
        self._unfolded: list[T] | None = None

    @abstractmethod
    def _folded_len(self) -> int:
        """Return the length of the small form."""

    @abstractmethod
    def _fetch(self, at: int) -> T:
        """Return the item at [0, n) of the small form."""

    @abstractmethod
    def _store(self, at: int, value: T) -> bool:
        """Put the item there, or return False where the small form cannot hold it."""

    @abstractmethod
    def _drop(self) -> None:
        """Let the small form go."""

    def _rows(self) -> list[T]:
        """Return the list itself, made now if need be."""
        if self._unfolded is None:
            self._unfolded = list(self)
            self._drop()
        return self._unfolded

    def __len__(self) -> int:
        return self._folded_len() if self._unfolded is None else len(self._unfolded)

    def _place(self, at: SupportsIndex) -> int:
        place = at.__index__()
        n = len(self)
        if not -n <= place < n:
            raise IndexError("list index out of range")
        return place % n

    @overload
    def __getitem__(self, at: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: Any) -> Any:
        if self._unfolded is not None:
            return self._unfolded[at]
        if isinstance(at, slice):
            return [self._fetch(place) for place in range(*at.indices(len(self)))]
        return self._fetch(self._place(at))

    def __iter__(self) -> Iterator[T]:
        at = 0
        while at < len(self):  # as a list: what is appended meanwhile comes too
            yield self._fetch(at) if self._unfolded is None else self._unfolded[at]
            at += 1

    @overload
    def __setitem__(self, at: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, at: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, at: Any, value: Any) -> None:
        if (
            self._unfolded is not None
            or isinstance(at, slice)
            or not self._store(self._place(at), value)
        ):
            self._rows()[at] = value

    def __delitem__(self, at: SupportsIndex | slice) -> None:
        del self._rows()[at]

    def insert(self, at: SupportsIndex, value: T) -> None:
        self._rows().insert(at, value)

    def append(self, value: T) -> None:
        self._rows().append(value)

    def clear(self) -> None:
        self._unfolded = []
        self._drop()

    def reverse(self) -> None:
        self._rows().reverse()

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        self._rows().sort(key=key, reverse=reverse)

    def copy(self) -> list[T]:
        """Return a list of the items, as `list.copy` does."""
        return list(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, (list, Folded)):
            return NotImplemented
        return len(self) == len(other) and all(
            mine is theirs or mine == theirs for mine, theirs in zip(self, other, strict=False)
        )

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool:
        return list(self) < list(other)

    def __le__(self, other: Any) -> bool:
        return list(self) <= list(other)

    def __gt__(self, other: Any) -> bool:
        return list(self) > list(other)

    def __ge__(self, other: Any) -> bool:
        return list(self) >= list(other)

    def __add__(self, other: Any) -> list[T]:
        return list(self) + (list(other) if isinstance(other, Folded) else other)

    def __radd__(self, other: Any) -> Any:
        return other + list(self)

    def __mul__(self, n: SupportsIndex) -> list[T]:
        return list(self) * n

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return repr(list(self))


class Numbers(Folded[Any]):
    """A list of ints, floats or bools, a few bytes each."""

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        super().__init__()
        self._array = array

    def _folded_len(self) -> int:
        return len(self._array)

    def _fetch(self, at: int) -> Any:
        return self._array[at]

    def _store(self, at: int, value: Any) -> bool:
        if type(value) is not type(self._array[at]) or value != value or type(value) is bool:
            return False
        try:
            self._array[at] = value
        except OverflowError:
            return False
        return True

    def _drop(self) -> None:
        self._array = _EMPTY

    def __reduce__(self) -> Any:
        return (Numbers, (self._array,)) if self._unfolded is None else (list, (self._unfolded,))


class Record(dict[str, Any]):
    """A row of `Records`. It is made when it is read; the first change makes it a row of its
    own."""

    __slots__ = ("__weakref__", "_at", "_home")
    _home: Records | None
    _at: int

    def _settle(self) -> None:
        home = self._home
        if home is not None:
            self._home = None
            home._keep(self._at, self)

    def __setitem__(self, key: str, value: Any) -> None:
        self._settle()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._settle()
        super().__delitem__(key)

    def clear(self) -> None:
        self._settle()
        super().clear()

    def pop(self, *args: Any) -> Any:
        self._settle()
        return super().pop(*args)

    def popitem(self) -> tuple[str, Any]:
        self._settle()
        return super().popitem()

    def setdefault(self, *args: Any) -> Any:
        self._settle()
        return super().setdefault(*args)

    def update(self, *args: Any, **values: Any) -> None:
        self._settle()
        super().update(*args, **values)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self._settle()
        return super().__ior__(other)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    __reduce_ex__ = lambda self, protocol: self.__reduce__()  # noqa: E731


class Records(Folded[dict[str, Any]]):
    """A list of dicts with the same keys: a column for each key.

    A row is a dict made when it is asked for, and the same one as long as somebody holds it. One
    that is changed belongs to the list from then on, as it is.
    """

    __slots__ = ("_columns", "_keys", "_live", "_n", "_own")

    def __init__(
        self, keys: tuple[str, ...], columns: list[Column], own: dict[int, Any] | None = None
    ) -> None:
        super().__init__()
        self._keys = keys
        self._columns = columns
        self._n = len(columns[0])
        self._own: dict[int, Any] = {} if own is None else own
        # Made with the first row, so that a compact list that nobody reads has none.
        self._live: WeakValueDictionary[int, Record] | None = None

    def _folded_len(self) -> int:
        return self._n

    def _fetch(self, at: int) -> dict[str, Any]:
        if at in self._own:
            return self._own[at]  # type: ignore[no-any-return]
        if self._live is None:
            self._live = WeakValueDictionary()
        row = self._live.get(at)
        if row is None:
            row = Record(zip(self._keys, [column[at] for column in self._columns], strict=True))
            row._home, row._at = self, at
            row = self._live.setdefault(at, row)
        return row

    def _keep(self, at: int, row: Any) -> None:
        if self._unfolded is None:
            self._own[at] = row

    def _store(self, at: int, value: Any) -> bool:
        live = self._live.pop(at, None) if self._live is not None else None
        if live is not None:
            live._home = None
        self._own[at] = value
        return True

    def _drop(self) -> None:
        for row in list((self._live or {}).values()):
            row._home = None
        self._columns, self._own, self._live = [], {}, None

    def __reduce__(self) -> Any:
        if self._unfolded is not None:
            return list, (self._unfolded,)
        return Records, (self._keys, self._columns, self._own)
