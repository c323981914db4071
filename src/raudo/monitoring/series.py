"""How a series is spelled: as Prometheus does, `raudo_cache_hits_total{cache="users"}`."""

from __future__ import annotations

import re
from functools import lru_cache

from raudo.types import Sample

__all__ = ["Key", "Labels", "is_bucket", "key_of", "parse_series", "series_name", "spelled"]

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
"""What makes a series: the name of its metric, and its labels."""

_LABEL = re.compile(r'\s*([^\s=,{}"]+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")


def key_of(sample: Sample) -> Key:
    """Return the series that a sample belongs to."""
    return sample.name, sample.labels


def series_name(sample: Sample) -> str:
    """Return the name and labels of a series."""
    return spelled(sample.name, sample.labels)


def is_bucket(sample: Sample) -> bool:
    """Say whether it is a bucket of a histogram; who wants none has the quantiles, as gauges."""
    return sample.kind == "histogram" and sample.name.endswith("_bucket")


def spelled(name: str, labels: Labels) -> str:
    """Return a name with labels as Prometheus writes them."""
    if not labels:
        return name
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{name}{{{pairs}}}"


@lru_cache(maxsize=16_384)
def parse_series(text: str) -> Key:
    """Return the name and labels of a spelled series; ValueError if it is none.

    >>> parse_series('raudo_cache_hits_total{cache="users"}')
    ('raudo_cache_hits_total', (('cache', 'users'),))
    """
    name, brace, rest = text.partition("{")
    name = name.strip()
    if not name or (brace and not rest.rstrip().endswith("}")):
        raise ValueError(f"series is {text!r}, wanted a name and labels in braces")
    inside = rest.rstrip()[:-1].rstrip()
    labels = []
    at = 0
    while at < len(inside):
        found = _LABEL.match(inside, at)
        if found is None:
            raise ValueError(f'series is {text!r}, wanted labels as name="value"')
        labels.append((found[1], _ESCAPED.sub(_unescaped, found[2])))
        at = found.end()
    return name, tuple(labels)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
