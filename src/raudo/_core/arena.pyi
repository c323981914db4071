from typing import Any, Self, final

from raudo._core.blobs import Blobs

@final
class Arena:
    """A bounded map of keys to blobs, oldest use first."""

    def __new__(
        cls,
        blobs: Blobs,
        max_bytes: int | None = None,
        plain: bytes = b"",
        packed: bytes = b"",
    ) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def held_bytes(self) -> int:
        """Bytes of memory taken, gaps and tables included."""

    def get(self, key: bytes) -> Any:
        """Return the blob and make it the newest; None where there is none."""

    def peek(self, key: bytes) -> Any:
        """Return the blob without making it the newest."""

    def take(self, key: bytes) -> Any:
        """Remove the entry and return its blob."""

    def take_value(self, key: bytes) -> Any:
        """Remove the entry and return its value; `NotImplemented`, changing nothing, where that takes more."""

    def raw_bytes(self, key: bytes) -> int:
        """Return how long the value is as bytes, unpacked; 0 where there is none."""

    def meta(self, key: bytes) -> bytes:
        """Return the bytes for the blob's codec and tags, empty where there is none."""

    def take_oldest(self) -> tuple[bytes, Any]:
        """Remove the entry that was used longest ago; return key and blob. There must be one."""

    def put(self, key: bytes, blob: Any) -> int:
        """Add the entry, in place of any of this key: 1 done, 0 another has to go first, -1 it never fits."""

    def take_expired(self, now_ns: int) -> list[tuple[bytes, Any]]:
        """Remove what has expired; return pairs of key and blob. Looks at every entry."""

    def items(self) -> list[tuple[bytes, Any]]:
        """Return pairs of key and blob, oldest first."""

    def clear(self) -> None:
        """Remove everything and give the memory back."""
