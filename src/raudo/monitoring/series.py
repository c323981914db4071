"""How a series is spelled: as Prometheus does, `raudo_cache_hits_total{cache="users"}`."""

from __future__ import annotations

from raudo.types import Sample

__all__ = ["Key", "Labels", "is_bucket", "key_of", "series_name", "spelled"]

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
"""What makes a series: the name of its metric, and its labels."""


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


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
