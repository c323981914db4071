"""The entry points that other packages register, read only where something is asked by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["entry_points"]


def entry_points(*, group: str, name: str | None = None) -> EntryPoints:
    """As `importlib.metadata.entry_points`, which takes longer to load than a cache does."""
    from importlib import metadata

    found = metadata.entry_points(group=group)
    return found if name is None else found.select(name=name)
