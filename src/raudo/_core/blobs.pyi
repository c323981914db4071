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
