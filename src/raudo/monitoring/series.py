"""How a series is spelled: as Prometheus does, `raudo_cache_hits_total{cache="users"}`."""

from __future__ import annotations

from raudo.types import Sample

__all__ = ["escaped", "series_name"]


def escaped(text: str) -> str:
    """Return the text as it may stand between the quotes of a label."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def series_name(sample: Sample) -> str:
    """Return the name and labels of a series."""
    if not sample.labels:
        return sample.name
    labels = ",".join(f'{key}="{escaped(value)}"' for key, value in sample.labels)
    return f"{sample.name}{{{labels}}}"
