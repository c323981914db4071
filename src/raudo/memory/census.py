"""Which objects there are: counts by type, from a sample of what the collector tracks."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping

__all__ = ["count_types", "more_of", "sample_types"]

_SAMPLE = 20_000


def count_types(sample: int = _SAMPLE, frozen: Mapping[type, int] | None = None) -> dict[str, int]:
    """Return about how many containers and instances there are of each type, most first.

    What is frozen the collector does not list: `frozen` are the counts of those.

    Strings and numbers are not tracked by the collector and not counted. Listing all objects
    takes some 10 ms a million; of those listed, about `sample` are looked at.
    """
    objects = gc.get_objects()
    counts = sample_types(objects, sample)
    del objects
    counts.update(frozen or {})
    return {_name_of(kind): n for kind, n in counts.most_common()}


def sample_types(objects: list[object], sample: int = _SAMPLE) -> Counter[type]:
    """Return about how many of the objects are of each type."""
    step = max(1, len(objects) // sample)
    return Counter({kind: step * n for kind, n in Counter(map(type, objects[::step])).items()})


def _name_of(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def more_of(
    before: dict[str, int], after: dict[str, int], most: int = 5
) -> tuple[tuple[str, int], ...]:
    """Return the types that there are more of, most first."""
    grown = Counter({name: n - before.get(name, 0) for name, n in after.items()})
    return tuple((name, n) for name, n in grown.most_common(most) if n > 0)
