"""The formats that rows can be exported in, by name and by file suffix.

A new one is a class that follows `raudo.types.Format`: a line in `_BUILT_IN`, or an entry point of
the group `raudo.formats` whose name is the format's.
"""

from __future__ import annotations

import importlib

from raudo._plugins import entry_points
from raudo.types import Format

__all__ = ["ENTRY_POINTS", "format_names", "format_of_suffix", "load_format"]

ENTRY_POINTS = "raudo.formats"

_BUILT_IN = {
    "jsonl": "jsonl:JsonLines",
    "csv": "csv:Csv",
    "npy": "npy:Npy",
    "parquet": "arrow:Parquet",
    "arrow": "arrow:Arrow",
}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".npy": "npy",
    ".parquet": "parquet",
    ".arrow": "arrow",
}


def format_names() -> list[str]:
    """Return the names of all formats, built-in and installed."""
    return [*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))]


def load_format(name: str) -> type[Format]:
    """Return the class of a format; `ValueError` for a name that nobody offers."""
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        found: type[Format] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        return found
    for point in entry_points(group=ENTRY_POINTS, name=name):
        plugged: type[Format] = point.load()
        return plugged
    raise ValueError(f"format is {name!r}, wanted one of {', '.join(format_names())}")


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format that a file suffix such as `.csv` stands for."""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    for point in entry_points(group=ENTRY_POINTS):
        if point.load().suffix == suffix:
            return str(point.name)
    return None
