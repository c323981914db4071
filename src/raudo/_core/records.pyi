from typing import Any, Final, Self, final

from raudo._core.blobs import Blobs

HEAD_BYTES: Final[int]
STATE_OFFSET: Final[int]
LENGTH_BITS: Final[int]
SEGMENT_SHIFT: Final[int]
MAX_OFFSET: Final[int]

def checksum(data: bytes | bytearray | memoryview, seed: int = 0) -> int:
    """Return the 64-bit checksum of some bytes."""

@final
class Records:
    """Makes records of blobs, and blobs of records."""

    def __init__(self, blobs: Blobs) -> None: ...
    def measure(self, key: bytes, blob: Any) -> tuple[bytes, int]:
        """Return the bytes for the blob's codec and tags, and how long its record is."""

    def seal(self, key: bytes, meta: bytes, blob: Any, nonce: int, offset: int) -> bytes:
        """Return head, key and meta of a record for its one place; the payload follows them."""

    def open(
        self, data: bytes | bytearray | memoryview, key: bytes, nonce: int, offset: int
    ) -> Any:
        """Return the blob of a whole record, None unless everything checks out."""

def scan(
    data: Any,
    start: int,
    nonce: int,
    segment: int,
    index: dict[bytes, int],
    expires: dict[bytes, int],
    order: list[bytes],
    superseded: list[int],
) -> tuple[list[int], int, int, int]:
    """Enter the live records of a segment's bytes into an index, in the order they stand in."""

@final
class Window:
    """A map of one segment's file, for the records that this process appended to it."""

    def __new__(cls, fd: int, capacity: int, first: int, nonce: int) -> Self: ...
    def read(self, records: Records, key: bytes, place: int) -> Any:
        """Return the blob, None where it does not check out, and `NotImplemented` for what is not shown."""

    def show(self, offset: int, length: int) -> None:
        """Map the pages of what was just written there, so that its first read need not."""

    def close(self) -> None:
        """Show nothing any more."""

def find(records: Records, index: dict[bytes, int], windows: dict[int, Window], key: bytes) -> Any:
    """Return the blob of a key that a window shows; None for anything that takes a longer look."""
