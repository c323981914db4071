from typing import Any

def estimate_bytes(value: Any) -> int:
    """Return about how many bytes would be freed if the value were dropped."""
