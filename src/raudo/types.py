"""Every protocol and record that crosses a wall between rooms.

Seams are `Protocol`s, so that a plug-in needs no base class; data is a frozen, slotted dataclass or
a `NamedTuple`. Nothing here does work or imports a room.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    SupportsIndex,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from raudo._core.histogram import Histogram

__all__ = [
    "Blob",
    "Codec",
    "Distribution",
    "EvictReason",
    "EvictionPolicy",
    "Exporter",
    "Format",
    "Index",
    "Lease",
    "LeasedBlob",
    "LeasingTier",
    "Matches",
    "Message",
    "MessageSource",
    "Outcome",
    "RangeMatches",
    "Sample",
    "Sampled",
    "SeenKeys",
    "Serializer",
    "SharedTags",
    "SharedTier",
    "Sink",
    "Task",
    "Tier",
    "TierStats",
    "UnwatchedBlob",
    "Writer",
]

EvictReason = Literal["capacity", "expired", "replaced", "removed"]


# --- cache: table -> policy -------------------------------------------------------------------


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


# --- cache: L1 -> L2 -> L3 -> remote ----------------------------------------------------------


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


# --- concurrency ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """A call to be made: `fn(*args, **kwargs)`."""

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: its value or its error, and what it took. Times are seconds."""

    index: int
    value: Any = None
    error: BaseException | None = None
    attempts: int = 1
    waited_s: float = 0.0
    ran_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it has a value and no error."""
        return self.error is None

    def unwrap(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


# --- queues -> concurrency --------------------------------------------------------------------


class Message(NamedTuple):
    """A message as a source delivered it.

    `key` is what order is kept by; None: no order. `idempotency_key` is what a duplicate is known
    by: what the producer gave, or else `id`, the place in the source, which is the same whenever
    the message is delivered again. `deliveries` counts this one. `receipt` is the source's own.
    """

    body: Any
    key: Any
    id: str
    idempotency_key: str
    deliveries: int = 1
    headers: Mapping[str, bytes] = {}
    receipt: Any = None


class MessageSource(Protocol):
    """One consumer's end of a queue, a member of its group; at least once.

    A source that cannot be reached raises an `OSError` (or a `RaudoError`), and is asked again. It
    opens itself when it is first used, also after `close`. One event loop's; several calls at once.
    """

    name: str

    async def receive(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return up to `limit` messages, none where none came within `timeout` seconds.

        They are this consumer's until they are settled by one of the next three, or lost: to
        another consumer after this one was silent for long, or when partitions are given away.
        """
        ...

    async def ack(self, messages: Sequence[Message]) -> None:
        """Note that they are done with. Harmless for those that were lost, and twice."""
        ...

    async def retry(self, messages: Sequence[Message], delay: float = 0.0) -> None:
        """Give them back, to be delivered again after `delay` seconds, to whoever asks then."""
        ...

    async def dead_letter(self, message: Message, reason: str) -> None:
        """Put it where the hopeless are kept, with the reason, and settle it, in that order."""
        ...

    def holds(self, message: Message) -> bool:
        """Say whether the message is still this consumer's; does no I/O."""
        ...

    async def lag(self) -> int | None:
        """Return how many messages are not settled, as far as known to this consumer."""
        ...

    async def close(self) -> None:
        """Leave the group: what was not settled is delivered to the others."""
        ...


class SeenKeys(Protocol):
    """Remembers idempotency keys of messages that were handled, for a bounded window."""

    async def known(self, keys: Sequence[str]) -> Collection[str]:
        """Return those of the keys that are remembered."""
        ...

    async def remember(self, keys: Sequence[str]) -> None:
        """Remember the keys from now on."""
        ...


# --- analysis -> similarity -------------------------------------------------------------------


class Matches(NamedTuple):
    """The k nearest of each query, best first.

    `ids` is (q, k) int64, -1 where there are fewer than k; `distances` is (q, k) float32 or
    float64, in the metric's own sense (smaller is nearer, but for `inner`: larger is nearer), NaN
    where there is no match.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.floating[Any]]


class RangeMatches(NamedTuple):
    """All that lie within a radius, a row for each query, as the three arrays of a CSR matrix.

    What belongs to query i is `ids[offsets[i]:offsets[i + 1]]` and the same of `distances`, by
    rising id. `offsets` is (q + 1,) int64, `ids` and `distances` are (m,), int64 and float32 or
    float64. `scipy.sparse.csr_array((distances, ids, offsets), shape=(q, n))` takes them as they
    are.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.floating[Any]]


class Index(Protocol):
    """Vectors by id. What is missing from an answer is -1 and NaN, never an error; thread-safe."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def version(self) -> str:
        """Names the contents; changes whenever they do, and is no other index's."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) ids of all vectors, a copy."""
        ...

    def __len__(self) -> int: ...

    def add(self, vectors: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Add (n, dim) vectors and return their (n,) ids: those given, else numbers not in use."""
        ...

    def update(self, ids: ArrayLike, vectors: ArrayLike) -> None:
        """Put (n, dim) vectors in the place of those with these (n,) ids."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Remove vectors by id; return how many were there."""
        ...

    def search(
        self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None, n_jobs: Any = None
    ) -> Matches:
        """Find the k nearest of each of (q, dim) queries among the ids that `filter` allows."""
        ...

    def search_within(
        self, queries: ArrayLike, radius: float, *, filter: Any = None
    ) -> RangeMatches:
        """Find all within a distance of each query; with `inner`, of that similarity and more."""
        ...

    def save(self, path: Any) -> None:
        """Write the index to a file, whole or not at all."""
        ...

    @classmethod
    def load(cls, path: Any) -> Self:
        """Return the index that was saved."""
        ...


# --- export: rows -> bytes -> location --------------------------------------------------------


class Writer(Protocol):
    """Writes rows of one format to one open binary file."""

    def write(self, rows: Sequence[Any]) -> None:
        """Append rows; called with a few thousand at a time."""
        ...

    def close(self) -> None:
        """Write what the format wants last; does not close the file."""
        ...


class Format(Protocol):
    """A file format that rows can be exported in.

    A format that compresses inside its files also has `compressions`, a tuple of names, the default
    first, and takes one as its only argument; the others are called with none. One with
    `is_columnar` true is given Arrow record batches as they are, where the rows come as such.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    def open(self, file: BinaryIO, sample: Sequence[Any]) -> Writer:
        """Start a file. `sample` is the first few thousand rows, for columns and types; do not
        write it.

        Every part of one export gets the same sample. `file.seekable()` may be False.
        """
        ...


class Sink(Protocol):
    """A place that exported bytes go to; a file appears whole or not at all."""

    def open(self, path: str) -> BinaryIO:
        """Return a file that is written aside."""
        ...

    def commit(self, path: str) -> None:
        """Put the finished file in its place."""
        ...

    def abort(self, path: str) -> None:
        """Drop an unfinished file."""
        ...


# --- rooms -> monitoring ----------------------------------------------------------------------


class Sample(NamedTuple):
    """One measurement, named as Prometheus would (`raudo_cache_hits_total`).

    A `"histogram"` is a part of one, spelled as there: `_bucket` with a label `le` (how many were
    at most that), `_sum` and `_count`; all of them only grow. Components give `Distribution`s
    instead, of which the monitor makes these.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    help: str = ""


class Distribution(NamedTuple):
    """How long something took, each time: `raudo_task_duration_seconds` of one processor.

    `histogram` is the component's own or a copy; whoever gets it must not change it.
    """

    name: str
    histogram: Histogram
    labels: tuple[tuple[str, str], ...] = ()
    help: str = ""


class Sampled(Protocol):
    """What a `Monitor` can watch: `samples` is pulled, cheap and thread-safe.

    A component may also have `histograms() -> Iterable[Distribution]`, of the same virtues, and
    `hot_keys(n) -> list[tuple[Any, float]]`.
    """

    def samples(self) -> Iterable[Sample]: ...


class Exporter(Protocol):
    """Sends samples somewhere. `export` gets one coherent snapshot at a time."""

    name: ClassVar[str]

    def export(self, samples: Sequence[Sample]) -> None:
        """Send one snapshot. What it raises is counted by the monitor, which goes on."""
        ...

    def close(self) -> None:
        """Send what waits and let go; a second call does nothing."""
        ...


if TYPE_CHECKING:  # the shapes that rooms hand each other, spelled once
    Rows = Iterable[Mapping[str, Any]]
    Batches = Iterator[Sequence[Mapping[str, Any]]]
