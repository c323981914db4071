"""A SmartCache level on Redis or Valkey, shared by any number of processes and machines.

    from raudo import SmartCache
    from raudo.integrations.redis import RedisTier

    cache = SmartCache(10_000, tiers=[RedisTier("redis://127.0.0.1:6379/0", namespace="shop")])

One server, a cluster (`cluster=True`) or a master behind Sentinel (`sentinel="name"`); extra
`redis`, Redis 6.2 or later. Every `set` is written there; the levels above keep copies, which the
server keeps true: it tells of what other processes change (client tracking), and where the
connection is lost all copies go. A hit on L1 is a hit on L1.
"""

from __future__ import annotations

import asyncio
import math
import re
import struct
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Literal

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.records import Records
from raudo.cache._forks import reset_after_fork
from raudo.cache.tiers.blobs import BLOBS, fields_of
from raudo.errors import Closed, MissingExtra, ServerUnavailable, TierUnavailable
from raudo.types import Blob, Lease, LeasedBlob, TierStats, UnwatchedBlob

try:
    from raudo.integrations import _redis_leases as leases
    from raudo.integrations._redis_nodes import Deployment, Node, chunks, unavailable
    from raudo.integrations._redis_routes import Routes
    from raudo.integrations._redis_tags import BASE, RedisTags
    from raudo.integrations._redis_tracking import Line, Tracker
except ImportError as error:
    raise MissingExtra("the redis tier", "redis") from error

__all__ = ["RedisTier"]

_RECORDS = Records(BLOBS)
_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MAX_PIPELINE = 512
# How long the note that a tag was invalidated stays, for others to read which one it was.
_TAG_NOTE_S = 60


class RedisTier:
    """A `SharedTier` on a Redis server, cluster or Sentinel. Thread-safe, for any event loops.

    A call takes `timeout` at most, and raises `TierUnavailable` where no answer came; a SmartCache
    counts that, answers from what is left and lets the server rest for a second and more. Making
    the SmartCache waits as long for the server, so that what is loaded first is kept. After a fork
    the child makes connections of its own.

    Args:
        url: `redis://`, `rediss://` or `unix://`; several hosts with commas for a cluster or
            Sentinels, `redis://user:password@a:7000,b:7000`.
        namespace: Stands before every key. Caches of one namespace share their entries, and must
            agree on serializer and secret.
        cluster: The servers are a cluster; one of them is enough to find the others.
        sentinel: Name of the master that the Sentinels at `url` watch.
        timeout: Seconds that one call may take, connecting included.
        lease: Seconds that a process has to load a key while the others wait for its value, so that
            one loads for all. After that another does, and what the first one loads is no longer
            stored; nobody waits for longer than twice as long. None lets each process load.
        options: Further settings of redis-py's connections (`ssl_ca_certs`, `password`, ...).
    """

    name = "redis"
    survives_restart: ClassVar[bool] = True
    shared: ClassVar[bool] = True
    trusted: ClassVar[bool] = False
    writes_through: ClassVar[Literal[True]] = True

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        namespace: str = "raudo",
        cluster: bool = False,
        sentinel: str | None = None,
        timeout: float = 0.25,
        lease: float | None = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        **options: Any,
    ) -> None:
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            raise ValueError(
                f"namespace must be 1 to 64 letters, digits or any of _.:-, got {namespace!r}"
            )
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be seconds above 0, got {timeout!r}")
        if lease is not None and not (isinstance(lease, int | float) and 0 < lease < math.inf):
            raise ValueError(f"lease must be seconds above 0 or None, got {lease!r}")
        if cluster and sentinel is not None:
            raise ValueError("cluster and sentinel: give one of them")
        self.lease_s = lease
        self.timeout = timeout
        self.tags = RedisTags()
        self._clock = clock
        # No namespace can hold the stroke: the keys of one never begin as another's do.
        self._prefix = f"{namespace}/".encode()
        self._entry_prefix = self._prefix + b"e:"
        self._lease_keys = leases.LeaseKeys(self._entry_prefix)
        self._tag_prefix = self._prefix + b"t:"
        self._tags_key = self._prefix + b"tags"
        self._deployment = Deployment.from_url(
            url, cluster=cluster, sentinel=sentinel, options=options
        )
        self._routes = Routes(self._deployment, timeout, self._line_to, self._forget_copies)
        self._lock = threading.Lock()
        self._tracker: Tracker | None = None
        self._changed: Callable[[bytes | None], None] | None = None
        self._is_closed = False
        self._hits = self._misses = self._puts = self._errors = self._corrupt = 0
        self._expirations = 0
        reset_after_fork(self)

    # --- hearing of changes -------------------------------------------------------------------

    def watch(self, changed: Callable[[bytes | None], None]) -> None:
        """Have `changed` called with each key that another process changes, None for all."""
        self._changed = changed
        self._ensure_tracker()

    @property
    def is_watched(self) -> bool:
        """Whether a cache is told of changes already; a second one would take its place."""
        return self._changed is not None

    def wait_until_ready(self, timeout: float = 5.0) -> bool:
        """Wait until the servers are found and listened to; False where that takes longer."""
        return self._ensure_tracker().is_ready.wait(timeout)

    def _ensure_tracker(self) -> Tracker:
        tracker = self._tracker
        if tracker is None:
            with self._lock:
                if self._is_closed:
                    raise Closed("the redis tier is closed")
                tracker = self._tracker
                if tracker is None:
                    tracker = self._tracker = Tracker(
                        self, self._deployment, self._prefix, max(1.0, self.timeout), self._told
                    )
            # What is loaded before the servers are listened to would not be kept.
            tracker.has_tried.wait(self.timeout)
        return tracker

    def _told(self, keys: Sequence[bytes | None]) -> None:
        """Hand on what the servers tell; on the tracker's thread."""
        notes = [key for key in keys if key is not None and key.startswith(self._tag_prefix)]
        if None in keys or self._tags_key in keys:
            self._read_tags()
        elif notes:
            self._read_notes(notes)
        changed = self._changed
        if changed is None:
            return
        if None in keys:
            changed(None)
            return
        n = len(self._entry_prefix)
        for key in keys:
            if key is not None and key.startswith(self._entry_prefix):
                changed(key[n:])

    def _read_tags(self) -> None:
        try:
            with self._guard("tags"):
                stored = self._ask(self._tags_key, ("HGETALL", self._tags_key))
        except TierUnavailable:
            return  # it is read when the connection is made again
        pairs = stored if isinstance(stored, dict) else dict(zip(*[iter(stored)] * 2, strict=True))
        self.tags.replace(pairs)

    def _read_notes(self, notes: Sequence[bytes]) -> None:
        for note in notes:
            try:
                with self._guard("tags"):
                    generation = self._ask(note, ("GET", note))
            except TierUnavailable:
                return
            if generation:
                tag = note[len(self._tag_prefix) :].decode("utf-8", "surrogatepass")
                self.tags.learn(tag, int(generation))

    def _ask(self, stored: bytes, command: Sequence[Any]) -> Any:
        return self._routes.ask(stored, command)[1]

    def _line_to(self, node: Node) -> Line | None:
        """Return the connections that listen to a server; without them no copy may be kept."""
        return self._ensure_tracker().line_to(node) if self._changed is not None else None

    def _forget_copies(self, written: Sequence[bytes]) -> None:
        """Have the copies go of what was written to a server that nobody listens to."""
        if self._changed is None:
            return
        for stored in written:
            if stored.startswith(self._entry_prefix):
                self._changed(stored[len(self._entry_prefix) :])

    # --- reading ------------------------------------------------------------------------------

    def get_nowait(self, key: bytes) -> Blob | None:
        """Return the blob, waiting for the network."""
        stored = self._stored_as(key)
        with self._guard("get"):
            return self._open(key, *self._routes.ask(stored, ("GET", stored)))

    async def get(self, key: bytes) -> Blob | None:
        stored = self._stored_as(key)
        with self._guard("get"):
            return self._open(key, *await self._routes.ask_async(stored, ("GET", stored)))

    async def get_many(self, keys: Sequence[bytes]) -> list[Blob | None]:
        """Return the blobs in order; one trip to each server for up to 512 keys.

        What a server holds that does not answer is None, unless none of those asked does.
        """
        found: dict[bytes, Blob | None] = {}
        with self._guard("get_many"):
            parts = self._routes.by_node(keys, self._stored_as)
            deadline = time.monotonic() + self.timeout
            reads = (self._get_part(node, part, deadline, found) for node, part in parts)
            errors = [error for error in await asyncio.gather(*reads) if error is not None]
            if errors and len(errors) == len(parts):
                raise errors[0]
        return [found.get(key) for key in keys]

    async def _get_part(
        self, node: Node, keys: Sequence[bytes], deadline: float, found: dict[bytes, Blob | None]
    ) -> Exception | None:
        """Read from one server; return why it does not answer."""
        try:
            with self._guard("get_many"):
                for some in chunks(keys, _MAX_PIPELINE):
                    commands = [("GET", self._stored_as(key)) for key in some]
                    answers = await node.call_async(deadline, *commands)
                    for key, answer, command in zip(some, answers, commands, strict=True):
                        settled = self._routes.settled_async(node, answer, command, deadline)
                        found[key] = self._open(key, *await settled)
        except ServerUnavailable as error:
            return error
        return None

    def _open(self, key: bytes, node: Node, answer: Any) -> Blob | None:
        if answer is None:
            self._misses += 1
            return None
        try:
            blob: Blob | None = _RECORDS.open(answer, key, 0, 0)
        except (IndexError, struct.error, UnicodeError, TypeError):
            blob = None
        if blob is None:
            self._corrupt += 1
            self._misses += 1
            return None
        if 0 < blob.expires_ns <= self._clock.time_ns():
            self._expirations += 1
            self._misses += 1
            return None
        self._hits += 1
        if self._changed is not None and self._line_to(node) is None:  # it may change unheard
            return UnwatchedBlob(*fields_of(blob))
        return blob

    # --- writing ------------------------------------------------------------------------------

    def put_many_nowait(self, changes: Sequence[tuple[bytes, Blob | None]]) -> None:
        """Store blobs and drop what has None, waiting for the network."""
        with self._guard("put"):
            parts = self._routes.by_node(changes, lambda change: self._stored_as(change[0]))
        deadline, lost = time.monotonic() + self.timeout, []
        failures: list[ServerUnavailable] = []
        for n, (node, part) in enumerate(parts):
            left_s = deadline - time.monotonic()  # a server that hangs takes its share of it
            try:
                with self._guard("put"):
                    self._put_part(node, part, time.monotonic() + left_s / (len(parts) - n))
            except ServerUnavailable as error:
                failures.append(error)
                lost += [key for key, _ in part]
        self._puts += sum(blob is not None for _, blob in changes)
        if failures:
            was_asked = any(error.was_asked for error in failures)
            raise ServerUnavailable(str(failures[0]), was_asked=was_asked, keys=lost) from failures[
                0
            ]

    def _put_part(
        self, node: Node, changes: Sequence[tuple[bytes, Blob | None]], deadline: float
    ) -> None:
        plain = [change for change in changes if not isinstance(change[1], LeasedBlob)]
        for some in chunks(plain, _MAX_PIPELINE):
            self._routes.write(node, [self._change(key, blob) for key, blob in some], deadline)
        for key, blob in changes:
            if isinstance(blob, LeasedBlob):
                self._put_loaded(key, blob, deadline)

    def _change(self, key: bytes, blob: Blob | None) -> Sequence[Any]:
        stored = self._stored_as(key)
        if blob is None:
            return self._unlink(stored)
        meta, _ = _RECORDS.measure(key, blob)
        record = _RECORDS.seal(key, meta, blob, 0, 0) + blob.payload
        left_ms = -(-(blob.expires_ns - self._clock.time_ns()) // 1_000_000)
        if blob.expires_ns and left_ms <= 0:
            return self._unlink(stored)
        if not blob.expires_ns:
            return ("SET", stored, record)
        return ("SET", stored, record, "PX", left_ms)

    def _unlink(self, stored: bytes) -> Sequence[Any]:
        """Return what drops an entry, and ends a load of it that is under way elsewhere."""
        lease = leases.LeaseKeys.of(stored) if self.lease_s else None
        return ("UNLINK", stored, lease) if lease is not None else ("UNLINK", stored)

    async def put_many(self, changes: Sequence[tuple[bytes, Blob | None]]) -> None:
        await _in_thread(self.put_many_nowait, changes)

    async def put(self, key: bytes, blob: Blob) -> None:
        await _in_thread(self.put_many_nowait, [(key, blob)])

    def drop_nowait(self, key: bytes) -> bool:
        """Drop the entry; True where there was one."""
        stored = self._stored_as(key)
        with self._guard("drop"):
            deadline = time.monotonic() + self.timeout
            drops = [("UNLINK", each) for each in self._unlink(stored)[1:]]
            return bool(self._routes.write_to(stored, deadline, *drops)[0])

    async def drop(self, key: bytes) -> bool:
        return bool(await _in_thread(self.drop_nowait, key))

    def publish_tags_nowait(self) -> None:
        """Tell the others of the tags that were invalidated here."""
        changes = self.tags.take_changes()
        if not changes:
            return
        try:
            with self._guard("publish_tags"):
                self._publish(changes, time.monotonic() + self.timeout)
        except BaseException:
            self.tags.put_back(changes)
            raise

    def _publish(self, changes: dict[str, int], deadline: float) -> None:
        if self.tags.is_overfull():  # a new base, and nothing else: no tagged entry is believed
            fresh = ("HSET", self._tags_key, BASE, max(changes.values()))
            self._routes.write_to(self._tags_key, deadline, ("DEL", self._tags_key), fresh)
            self._read_tags()
            return
        encoded = {tag.encode("utf-8", "surrogatepass"): each for tag, each in changes.items()}
        pairs = [part for pair in encoded.items() for part in pair]
        self._routes.write_to(self._tags_key, deadline, ("HSET", self._tags_key, *pairs))
        for tag, generation in encoded.items():
            note = self._tag_prefix + tag
            self._routes.write_to(note, deadline, ("SET", note, generation, "EX", _TAG_NOTE_S))

    async def publish_tags(self) -> None:
        await _in_thread(self.publish_tags_nowait)

    def clear(self) -> None:
        """Drop every entry of the namespace; looks through all keys of the servers."""
        with self._guard("clear"):
            for node in self._routes.nodes():
                self._clear(node)

    @property
    def parts(self) -> range:
        """The slots of a cluster; else there is one part."""
        return self._deployment.parts

    def part_of(self, key: bytes) -> int:
        """Return the slot of a key."""
        return self._deployment.part_of(self._stored_as(key))

    def clear_parts(self, parts: Collection[int]) -> set[int]:
        """Drop every entry in some slots; return those whose server answered."""
        cleared: set[int] = set()
        failure: TierUnavailable | None = None
        with self._guard("clear"):
            nodes = self._routes.nodes()
        for node in nodes:
            held = self._deployment.parts_of(node).intersection(parts)
            if not held:
                continue
            try:
                with self._guard("clear"):
                    self._clear(node, held)
                cleared |= held
            except TierUnavailable as error:
                failure = error
        if failure is not None and not cleared:
            raise failure
        return cleared

    def _clear(self, node: Node, parts: Collection[int] | None = None) -> None:
        cursor: Any = b"0"
        while True:  # each step has its own deadline: the whole may take long
            pattern = ("SCAN", cursor, "MATCH", b"*" + self._entry_prefix + b"*", "COUNT", 1000)
            (answer,) = node.call(time.monotonic() + self.timeout, pattern)
            if isinstance(answer, Exception):
                raise answer
            cursor, found = answer
            keys = [
                key
                for key in found
                if (key.startswith(self._entry_prefix) or self._lease_keys.is_one(key))
                and (parts is None or self._deployment.part_of(key) in parts)
            ]
            if keys:
                deadline = time.monotonic() + self.timeout
                self._routes.write(node, [("UNLINK", key) for key in keys], deadline)
            if cursor in (b"0", 0):
                return

    async def aclear(self) -> None:
        await _in_thread(self.clear)

    async def sweep(self, now_ns: int) -> int:
        return 0  # the servers do it

    # --- leave to load ------------------------------------------------------------------------

    def lease_nowait(self, key: bytes) -> Lease | None:
        """Return the lease of a key, None while another holds it; without a token: load freely."""
        stored = self._stored_as(key)
        lease = leases.LeaseKeys.of(stored)
        if lease is None or not self.lease_s:
            return Lease(b"", b"")
        token, command = leases.request(lease, stored, self.lease_s)
        with self._guard("lease"):
            seen: bytes | None = self._ask(stored, command)
        return Lease(token, seen) if seen is not None else None

    async def lease(self, key: bytes) -> Lease | None:
        found: Lease | None = await _in_thread(self.lease_nowait, key)
        return found

    def _put_loaded(self, key: bytes, blob: LeasedBlob, deadline: float) -> None:
        stored, command = self._stored_as(key), self._change(key, blob)
        lease = leases.LeaseKeys.of(stored)
        if lease is None or command[0] == "UNLINK":
            self._routes.write_to(stored, deadline, command)
            return
        self._routes.converse(
            stored,
            deadline,
            lambda connection: leases.store(
                connection, lease, stored, blob.lease, command, deadline
            ),
        )

    def release_nowait(self, key: bytes, lease: Lease) -> None:
        """Give a lease back; nothing where it has ended."""
        stored = self._stored_as(key)
        name = leases.LeaseKeys.of(stored)
        if name is not None:
            with self._guard("release"):
                self._ask(stored, leases.release(name, lease))

    async def release(self, key: bytes, lease: Lease) -> None:
        await _in_thread(self.release_nowait, key, lease)

    # --- who is asked -------------------------------------------------------------------------

    def _stored_as(self, key: bytes) -> bytes:
        return self._entry_prefix + key

    def _guard(self, operation: str) -> unavailable:
        if self._is_closed:
            raise Closed("the redis tier is closed")
        return unavailable(operation, self._note_loss)

    def _note_loss(self) -> None:
        self._errors += 1
        self._deployment.is_stale = self._deployment.kind != "single"

    # --- the whole ----------------------------------------------------------------------------

    def stats(self) -> TierStats:
        """Return what this process counted; what the servers hold is not asked for."""
        return TierStats(
            entries=0,
            bytes_used=0,
            hits=self._hits,
            misses=self._misses,
            puts=self._puts,
            expirations=self._expirations,
            errors=self._errors,
            corrupt=self._corrupt,
        )

    def close(self) -> None:
        """Close the connections; the entries stay. Closing twice is harmless."""
        with self._lock:
            self._is_closed = True
            tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()
        self._deployment.close()

    async def aclose(self) -> None:
        await self._deployment.aclose()
        await _in_thread(self.close)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self.tags.after_fork()
        self._deployment.after_fork()
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.abandon()
        # What the parent's thread would have told is not told: the copies go when the child's own
        # thread has connected, which the first call starts.
        if self._changed is not None:
            self._changed(None)


async def _in_thread(fn: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(fn, *args)
