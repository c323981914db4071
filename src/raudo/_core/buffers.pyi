from typing import Any

def first_unshared(items: list[Any]) -> int:
    """Return the index of the first item that nothing but the list refers to, or -1."""

def resize_bytearray(data: bytearray, size: int) -> None:
    """Set the length; bytes that come to light are arbitrary. No copy where the allocation fits."""
