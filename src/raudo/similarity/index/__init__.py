"""Vector indexes: rows kept by id, searched many times.

A package may bring its own through the entry point group `raudo.indexes`: a name, and a class that
follows `raudo.types.Index`. `raudo.testing.IndexContract` proves that it does.
"""

from __future__ import annotations

import importlib
from typing import Any, SupportsIndex

from raudo._plugins import entry_points
from raudo.similarity.metrics import Metric
from raudo.types import Index

__all__ = ["create_index", "index_class"]

_BUILT_IN = {
    "flat": "flat:FlatIndex",
    "ivf": "ivf:IVFIndex",
    "hnswlib": "hnswlib:HnswlibIndex",
    "usearch": "usearch:UsearchIndex",
}


def index_class(name: str) -> type[Index]:
    """Return the class of an index by name; `ValueError` for one that nobody offers."""
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        found: type[Index] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        return found
    points = {each.name: each for each in entry_points(group="raudo.indexes")}
    if name not in points:
        known = ", ".join([*_BUILT_IN, *sorted(points)])
        raise ValueError(f"index is {name!r}, wanted one of: {known}")
    plugged: type[Index] = points[name].load()
    return plugged


def create_index(
    name: str, dim: SupportsIndex, metric: str | Metric = "inner", **options: Any
) -> Index:
    """Make an index of this name: `flat`, `ivf`, `hnswlib`, `usearch`, or an installed package's.

    Raises:
        ValueError: There is none of this name.
        MissingExtra: Its library is not installed.
    """
    made: Any = index_class(name)
    index: Index = made(dim, metric, **options)
    return index
