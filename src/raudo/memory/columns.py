"""Values of one kind in as few bytes as they take: a column of records, or a list of numbers.

Every column gives back values that are equal and of the same type: exact ints, floats, bools and
strings only, everything else stays the object it is. NaN is no number here: a list is equal to
itself by the identity of its NaN.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

__all__ = ["Coded", "Column", "Constant", "Flags", "Texts", "column_of", "numbers_of"]

_INT_CODES = (("b", 7), ("h", 15), ("i", 31), ("q", 63))
# What a table of distinct values may hold: none of these types is equal to another's value.
_CODED_TYPES = frozenset({str, bytes, type(None), bool})


class Column(Protocol):
    """What a column has to do; an `array` and a list do it."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> Any: ...


class Constant:
    """One value for all rows."""

    __slots__ = ("n", "value")

    def __init__(self, value: Any, n: int) -> None:
        self.value = value
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, at: int) -> Any:
        return self.value


class Flags:
    """True and False, a byte each."""

    __slots__ = ("bits",)

    def __init__(self, values: Sequence[bool]) -> None:
        self.bits = bytes(values)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, at: int) -> bool:
        return self.bits[at] == 1


class Coded:
    """Few distinct values, and a small number for each row."""

    __slots__ = ("codes", "values")

    def __init__(self, values: list[Any], codes: Any) -> None:
        self.values = values
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, at: int) -> Any:
        return self.values[self.codes[at]]


class Texts:
    """Strings end to end in one piece of memory; reading one makes it.

    Objects of their own would take six times the room, and keep each page that they are on from
    going back to the system.
    """

    __slots__ = ("data", "ends")

    def __init__(self, values: Sequence[str]) -> None:
        # Lone surrogates are no UTF-8 but may be in a str.
        pieces = [each.encode("utf-8", "surrogatepass") for each in values]
        self.data = b"".join(pieces)
        code = "I" if len(self.data) < 1 << 32 else "Q"
        self.ends = array(code, accumulate(map(len, pieces)))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, at: int) -> str:
        start = self.ends[at - 1] if at else 0
        return self.data[start : self.ends[at]].decode("utf-8", "surrogatepass")


def numbers_of(values: Sequence[Any]) -> Any:
    """Return an array or `Flags` of these, or None where they are not all of one kind of number."""
    kinds = set(map(type, values))
    if kinds == {int}:
        lowest, highest = min(values), max(values)
        bits = max(highest.bit_length(), (-lowest - 1).bit_length() if lowest < 0 else 0)
        for code, room in _INT_CODES:
            if bits <= room:
                return array(code, values)
        return None
    if kinds == {float}:
        return None if any(each != each for each in values) else array("d", values)
    return Flags(values) if kinds == {bool} else None


def column_of(values: list[Any], visit: Callable[[Any], Any]) -> Column:
    """Return the values in the form that takes the fewest bytes; `visit` compacts an object."""
    numbers: Column | None = numbers_of(values)
    if numbers is not None:
        return numbers
    kinds = set(map(type, values))
    if kinds <= _CODED_TYPES:
        number_of: dict[Any, int] = {}
        most = len(values) // 2  # beyond, the numbers would take more than they save
        for each in values:
            number_of.setdefault(each, len(number_of))
            if len(number_of) > most:
                break
        else:
            distinct = list(map(visit, number_of))
            if len(distinct) == 1:
                return Constant(distinct[0], len(values))
            code = next(
                code
                for code, room in (("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32))
                if len(distinct) <= room
            )
            return Coded(distinct, array(code, map(number_of.__getitem__, values)))
    return Texts(values) if kinds == {str} else list(map(visit, values))
