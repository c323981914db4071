"""What crosses the walls of the cache: policies that order its table, levels below L1, codecs.

The table tells a policy slots and hashes, never objects; a level is given bytes and `Blob`s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

EvictReason = Literal["capacity", "expired", "replaced", "removed"]


class EvictionPolicy(Protocol):
    """Orders slots; owns no keys and no values.

    A slot is the number of an entry, dense from 0 and reused after `on_remove`. The calls come with
    the table's lock held: they must not block, call back into the cache or keep references.
    """

    name: ClassVar[str]

    def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
        """Note a new entry."""
        ...

    def on_hit(self, slot: int) -> None:
        """Note that the entry was read or overwritten."""
        ...

    def on_remove(self, slot: int) -> None:
        """Forget the entry; it was evicted, expired, replaced by hand or deleted."""
        ...

    def victim(self) -> int:
        """Return the slot to drop next, without dropping it; `LookupError` when there is none."""
        ...

    def admits(self, key_hash: int, victim: int) -> bool:
        """Say whether the newest entry, of this hash, deserves the victim's place."""
        ...


@dataclass(frozen=True, slots=True)
class Blob:
    """A value below L1: bytes, and what is needed to make the value of them again.

    `codec` names the steps that made `payload`, outermost last, joined by `+` (`"pickle"`,
    `"pickle+lz4"`). `raw_bytes` is the size before compression. `expires_ns` is wall-clock
    nanoseconds since 1970, 0 for never: it outlives the process. `tags` are the stamps that a tag
    invalidation compares: `(tag, generation)`.
    """

    payload: bytes
    codec: str
    raw_bytes: int
    expires_ns: int = 0
    tags: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class UnwatchedBlob(Blob):
    """What a `SharedTier` read where it would not hear of a change: answered with, and not kept."""


class Lease(NamedTuple):
    """Leave to load a key, for one process at a time.

    `token` is the holder's alone, empty where nobody hands leases out now; `seen` tells what the
    key held at that time from anything else, and is empty where that was nothing.
    """

    token: bytes
    seen: bytes


_NO_LEASE = Lease(b"", b"")


@dataclass(frozen=True, slots=True)
class LeasedBlob(Blob):
    """What was loaded under a lease: stored only if the lease still holds and the key what it did.

    Where it is not stored the tier tells, as of a change by another, so that no copy is kept.
    """

    lease: Lease = _NO_LEASE


@dataclass(frozen=True, slots=True)
class TierStats:
    """What a tier counts; reading it does no I/O."""

    entries: int
    bytes_used: int
    hits: int = 0
    misses: int = 0
    puts: int = 0
    evictions: int = 0
    expirations: int = 0
    errors: int = 0
    corrupt: int = 0


class Tier(Protocol):
    """A cache level below L1. Keys are bytes, values are `Blob`s.

    A tier that fails raises an `OSError` (or a `RaudoError`); the cache counts it and goes on. A
    corrupt record is a miss. An in-process tier also offers `get_nowait`, `put_nowait` and
    `drop_nowait`, so that a hit never suspends.
    """

    name: str
    survives_restart: ClassVar[bool]

    async def get(self, key: bytes) -> Blob | None:
        """Return the blob; None where it is not there, has expired or is damaged."""
        ...

    async def put(self, key: bytes, blob: Blob) -> None:
        """Keep the blob until `blob.expires_ns`, in place of an older one."""
        ...

    async def drop(self, key: bytes) -> bool:
        """Forget the key; say whether it was there."""
        ...

    async def sweep(self, now_ns: int) -> int:
        """Drop what has expired by `now_ns` (wall clock); return how many."""
        ...

    def stats(self) -> TierStats:
        """Return the figures; no I/O."""
        ...

    async def aclose(self) -> None:
        """Close; a second call does nothing."""
        ...


class SharedTags(Protocol):
    """Tags whose invalidation by any process the others hear of. Thread-safe, without waiting."""

    def stamp(self, tags: Iterable[str]) -> tuple[tuple[str, int], ...]:
        """Return what an entry with these tags is stamped with now."""
        ...

    def is_current(self, stamps: tuple[tuple[str, int], ...]) -> bool:
        """Say whether no tag has been invalidated since the stamps were made."""
        ...

    def invalidate(self, tag: str) -> None:
        """Make all entries that carry the tag invalid, here at once."""
        ...


class SharedTier(Tier, Protocol):
    """A level that processes share, read last and written through: every `set` goes there at once.

    The levels above keep copies. `watch` is given a function to call, from any thread, with a key
    that another process wrote or dropped, and with None where any may have been: the copies go.
    Changes of this process's own are not told. What is read while changes of it would not be told
    (no connection that listens, say) is an `UnwatchedBlob`, of which no copy is kept; and what was
    written then is told as if another had written it. A batch is a list of keys with a blob, or
    with None for a drop, no key twice. The calls with `_nowait` wait for the network, without an
    event loop.
    """

    writes_through: ClassVar[Literal[True]]
    tags: SharedTags

    def watch(self, changed: Callable[[bytes | None], None]) -> None:
        """Call `changed` from now on with what other processes changed."""
        ...

    async def get_many(self, keys: Sequence[bytes]) -> list[Blob | None]:
        """Return what `get` would for each key, in their order."""
        ...

    async def put_many(self, changes: Sequence[tuple[bytes, Blob | None]]) -> None:
        """Write a batch."""
        ...

    async def publish_tags(self) -> None:
        """Tell the others of the tags that were invalidated here."""
        ...

    async def aclear(self) -> None:
        """Drop every entry, for all processes."""
        ...

    def get_nowait(self, key: bytes) -> Blob | None:
        """Do as `get`."""
        ...

    def put_many_nowait(self, changes: Sequence[tuple[bytes, Blob | None]]) -> None:
        """Do as `put_many`."""
        ...

    def drop_nowait(self, key: bytes) -> bool:
        """Do as `drop`."""
        ...

    def publish_tags_nowait(self) -> None:
        """Do as `publish_tags`."""
        ...

    def clear(self) -> None:
        """Do as `aclear`."""
        ...

    def close(self) -> None:
        """Do as `aclose`."""
        ...


class PartedTier(SharedTier, Protocol):
    """A shared level on several servers, of which some may be away while the others are cleared.

    `parts` are all its parts, as numbers; `part_of` says which one holds a key. `clear_parts` drops
    every entry of some, waiting for the network, and returns those of which it could; it raises
    where it could of none.
    """

    @property
    def parts(self) -> Collection[int]: ...
    def part_of(self, key: bytes) -> int: ...
    def clear_parts(self, parts: Collection[int]) -> Collection[int]: ...


class LeasingTier(SharedTier, Protocol):
    """A shared level that lets one process at a time load a key: the others wait for its value.

    `lease_s` is how long a lease holds; None where there are none. `lease` returns None while
    another holds the key's. What is loaded is put as a `LeasedBlob`, which ends the lease; where
    there is nothing to put `release` does. A drop of the key ends it as well.
    """

    lease_s: float | None

    async def lease(self, key: bytes) -> Lease | None: ...
    async def release(self, key: bytes, lease: Lease) -> None: ...
    def lease_nowait(self, key: bytes) -> Lease | None: ...
    def release_nowait(self, key: bytes, lease: Lease) -> None: ...


class Serializer(Protocol):
    """Makes bytes of a value and back. `name` is what a `Blob.codec` starts with."""

    name: ClassVar[str]

    def dumps(self, value: Any) -> bytes:
        """Return the bytes of a value, whatever it raises for one that it cannot write."""
        ...

    def loads(self, data: bytes | memoryview) -> Any:
        """Return a value equal to the one that was written, of its type."""
        ...


class Codec(Protocol):
    """Makes bytes smaller and back. `name` is what a `Blob.codec` carries after its serializer."""

    name: ClassVar[str]

    def compress(self, data: bytes) -> bytes:
        """Return the packed bytes; they may be longer."""
        ...

    def decompress(self, data: bytes | memoryview, raw_bytes: int) -> bytes:
        """Return the `raw_bytes` bytes that were packed; ValueError where the data is damaged."""
        ...
