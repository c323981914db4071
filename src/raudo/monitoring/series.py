"""How a series is spelled: as Prometheus does, `raudo_cache_hits_total{cache="users"}`."""

from __future__ import annotations

from raudo.types import Sample

__all__ = ["series_name"]


def series_name(sample: Sample) -> str:
    """Return the name and labels of a series."""
    if not sample.labels:
        return sample.name
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels)
    return f"{sample.name}{{{labels}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
