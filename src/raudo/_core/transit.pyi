from collections.abc import Iterator
from typing import Any, Self, final

@final
class Parcel:
    """A live entry under way; `n_bytes` is what it takes, a guess until it is weighed."""

    def __new__(
        cls,
        key: Any,
        value: Any,
        expires_ns: int,
        tags: tuple[tuple[str, int], ...],
        n_bytes: int,
    ) -> Self: ...
    @property
    def key(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @property
    def expires_ns(self) -> int: ...
    @property
    def tags(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def n_bytes(self) -> int: ...
    @property
    def is_weighed(self) -> bool: ...

@final
class Transit:
    """Entries under way, oldest first. The caller holds a lock."""

    may_stay: int
    may_stay_bytes: int

    def __new__(cls) -> Self: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Parcel]:
        """Return the parcels of this moment, oldest first."""

    @property
    def n_bytes(self) -> int: ...
    def get(self, data: bytes, /) -> Parcel | None: ...
    def put(self, data: bytes, parcel: Parcel, /) -> None:
        """Let an entry wait, in place of any of this key."""

    def take(self, data: bytes, /) -> Parcel | None:
        """Remove the entry and return it."""

    def weigh(self, parcel: Parcel, n_bytes: int) -> None:
        """Note what an entry that waits takes."""

    def oldest(self) -> tuple[bytes, Parcel] | None:
        """Return key and parcel of what has waited longest, and leave it there."""

    def is_due(self) -> bool:
        """Say whether more waits than may stay."""

    def is_overdue(self) -> bool:
        """Say whether so much waits that whoever finds it should help."""

    def is_half_done(self) -> bool:
        """Say whether no more waits than half of what may stay."""

    def clear(self) -> int:
        """Forget everything; return how many entries that were."""
