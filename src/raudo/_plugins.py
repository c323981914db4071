"""The entry points that other packages register, read only where something is asked by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["entry_points"]


def entry_points(**query: str) -> EntryPoints:
    """As `importlib.metadata.entry_points`, which takes longer to load than a cache does."""
    from importlib import metadata

    return metadata.entry_points(**query)
