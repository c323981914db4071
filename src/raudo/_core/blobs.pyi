from collections.abc import Callable
from typing import Any, final

@final
class Blobs:
    """Knows the class of a blob and how its codec and tags are written."""

    def __init__(
        self,
        kind: type,
        encode_meta: Callable[[Any], bytes],
        decode_meta: Callable[[bytes], tuple[str, tuple[tuple[str, int], ...]]],
    ) -> None: ...
    def new(
        self,
        payload: bytes,
        codec: str,
        raw_bytes: int,
        expires_ns: int,
        tags: tuple[tuple[str, int], ...],
    ) -> Any:
        """Make a blob as its class would: 0.1 us where a frozen data class's own `__init__` takes 0.9."""
