"""What a value becomes in a text format: plain JSON types, the same for every such format."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import math
from collections.abc import Mapping, Set
from typing import Any

__all__ = ["as_mapping", "json_default", "plain"]


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


def plain(value: Any) -> Any:
    """Rebuild a value of JSON types alone: text keys, no NaN or infinity (they become null)."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return plain(json_default(value))


def _key(key: Any) -> str:
    """Spell a key as `json` does, and give the types that `json` refuses their text form."""
    if isinstance(key, str):
        return key
    key = plain(key)
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def as_mapping(row: Any) -> Mapping[str, Any]:
    """Return a row as a mapping; a dataclass gives its fields, one level deep."""
    if isinstance(row, Mapping):
        return row
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
    raise TypeError(f"a row is {type(row).__qualname__}, wanted a mapping or a dataclass instance")
