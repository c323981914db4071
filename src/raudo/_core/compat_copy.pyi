from typing import Any

from raudo._core.compat import Plain

def snapshot(cache: Plain[Any, Any]) -> tuple[Any, ...]:
    """Return all that makes a cache but its attributes."""

def restore(cache: Plain[Any, Any], state: tuple[Any, ...]) -> None:
    """Make a cache what `snapshot` returned."""
