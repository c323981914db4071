from typing import Any

def estimate_bytes(value: Any, /) -> int:
    """Return about how many bytes would be freed if the value were dropped."""

def guess_bytes(value: Any, /) -> int:
    """Return what the value takes as far as one look at it alone can tell, its items if it has many."""
