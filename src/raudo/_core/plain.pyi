from typing import Any

def load_plain(data: bytes | bytearray | memoryview, pauses: bool = False) -> Any:
    """Return the value of a pickle, `NotImplemented` where it holds more than plain values."""
