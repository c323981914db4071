"""What a value becomes in a text format: plain JSON types, the same for every such format."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
from collections.abc import Callable, Mapping, Set
from typing import Any

from raudo.errors import BadRow, BadRowType, BadRowValue

__all__ = ["as_mapping", "json_default", "key_text", "located"]


def json_default(value: Any) -> Any:
    """Turn one value that JSON does not know into one that it does; `TypeError` if there is none.

    Dates and times become ISO 8601 text, durations seconds, bytes base64, NumPy scalars and arrays
    their Python values, sets sorted lists, and anything with a plain text form (paths, UUIDs,
    decimals) that text.
    """
    dtype = getattr(value, "dtype", None)
    if dtype is not None and hasattr(value, "tolist"):
        return _from_numpy(value, dtype.kind)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=lambda each: (type(each).__name__, repr(each)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_mapping(value)
    if type(value).__module__ in {"decimal", "uuid", "fractions"} or hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(
        f"a value of type {type(value).__qualname__} has no form in text: {value!r:.80}"
    )


def _from_numpy(value: Any, kind: str) -> Any:
    """Return Python values; times through ISO text, because `item` makes plain ints of some."""
    if kind not in "mM":
        return value.tolist()
    import numpy as np

    if value.ndim:
        return [_from_numpy(each, kind) for each in value]
    if np.isnat(value):
        return None
    return str(value) if kind == "M" else float(value / np.timedelta64(1, "s"))


def key_text(key: Any) -> str:
    """Spell a key that is no text: numbers and constants as JSON does, the rest as text."""
    if key is None or (isinstance(key, float) and not math.isfinite(key)):
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    if isinstance(key, tuple | frozenset):
        return json.dumps(list(key), default=json_default)
    return key_text(json_default(key))


def located(
    error: Exception, row: int, values: Any, write: Callable[[Any], object]
) -> BadRow | None:
    """Say at which row, and which of its values, writing failed; None where it was neither.

    Only a failed row is looked at, so that the good ones pay nothing for it: its values are tried
    one after another with `write`.
    """
    try:
        items = as_mapping(values).items()
    except TypeError as wrong:
        return BadRowType(row, None, str(wrong))
    for column, value in items:
        try:
            key_text(column)
            write(value)
        except RecursionError:
            return BadRowValue(row, column, "the value contains itself, or is nested too deep")
        except TypeError as wrong:
            return BadRowType(row, column, str(wrong))
        except (ValueError, OverflowError) as wrong:
            return BadRowValue(row, column, str(wrong))
    if isinstance(error, RecursionError):
        return BadRowValue(row, None, "the row contains itself, or is nested too deep")
    return None


def as_mapping(row: Any) -> Mapping[str, Any]:
    """Return a row as a mapping; a dataclass gives its fields, one level deep."""
    if isinstance(row, Mapping):
        return row
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
    raise TypeError(f"a row is {type(row).__qualname__}, wanted a mapping or a dataclass instance")
