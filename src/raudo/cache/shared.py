"""The level that other processes share: written through, read last, and told of what others change.

A tier with `writes_through = True` is no place to push entries out to. What is set goes there at
once, so that others see it, and a copy stays above; what leaves the levels above is still there.
The tier calls back when another process has changed a key, and this process forgets its copy; or
when it cannot know what others did, and this process forgets all copies.

What is to be written waits here, and is carried as one batch without the cache's lock; `drain`
and `drain_async` come back when all that waited is there, or has failed. After a failed write the
tier holds an older value than this process: the key is doubtful, and is not read from there until
it was written or dropped after all. Beyond `_MAX_DOUBTFUL` only the parts of the tier are known
that hold such keys (`PartedTier`; else it is one part): they are not read until they were cleared.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

from raudo._clock import Clock
from raudo._core.sizes import estimate_bytes
from raudo._core.transit import Parcel
from raudo.cache.codecs import BlobCodec, Signer
from raudo.cache.fetched import Fetched
from raudo.cache.guard import Guard
from raudo.cache.tiers.blobs import fields_of
from raudo.errors import CorruptEntry, ServerUnavailable
from raudo.types import Blob, Lease, LeasedBlob, SharedTier

__all__ = ["SharedLevel"]

_BATCH = 512
# A server that is back is asked again after so long at most; a call that finds it away is short.
_LONGEST_REST_S = 4.0
# What a server holds that does not answer is not tried to be dropped with every write elsewhere.
_DROP_AGAIN_S = 1.0
# Serialising and compressing so much takes 0.2 ms; more is done on a thread.
_HEAVY_BYTES = 256 * 1024
_MAX_DOUBTFUL = 10_000

# A value to be stored, a blob to be stored, or a drop.
_Change: TypeAlias = Parcel | Blob | None
_NO_LEASE = Lease(b"", b"")


class SharedLevel:
    """What is below all levels of this process. Thread-safe; `lock` is the cache's."""

    def __init__(
        self,
        tier: SharedTier,
        *,
        cache: str,
        codec: BlobCodec,
        signer: Signer | None,
        clock: Clock,
        lock: threading.RLock,
    ) -> None:
        self.tier = tier
        self.guard = Guard(tier, cache, clock, _LONGEST_REST_S)
        self._clock = clock
        self._codec = codec
        self._signer = signer
        self._lock = lock
        self._waiting: dict[bytes, _Change] = {}
        self._carried: dict[bytes, Future[None]] = {}
        self._leases: dict[bytes, Lease] = {}  # of loaded values that wait
        self._parts: Collection[int] = getattr(tier, "parts", (0,))
        self._part_of: Callable[[bytes], int] = getattr(tier, "part_of", lambda key: 0)
        self._lost_parts: set[int] = set()
        self._n_losses = 0
        self._clear_at = 0.0
        self.forbidden = 0
        self.unpicklable = 0
        self.corrupt = 0
        self._drop_at = 0.0

    @property
    def failures(self) -> int:
        return self.guard.failures

    def __bool__(self) -> bool:
        """True where something is to be written or cleared, or is under way."""
        return bool(self._waiting or self._carried or (self._lost_parts and self._parts_due()))

    # --- down ---------------------------------------------------------------------------------

    def publish(self, key: bytes, change: _Change, lease: Lease | None = None) -> None:
        """Let a value, a blob or a drop (None) be written; with the cache's lock held."""
        self._waiting.pop(key, None)
        self._waiting[key] = change
        self._leases.pop(key, None)
        if lease is not None:
            self._leases[key] = lease

    async def drain_async(self) -> None:
        """Write all that waits, and wait for what others are writing."""
        if self._lost_parts and self._parts_due():
            await self._clear_parts_async()
        while True:
            batch, done, under_way = self._pick()
            if batch:
                error = await self._write_async(batch, done)
                self._settle(batch, done, error)
            elif under_way:
                await asyncio.wrap_future(under_way[0])
            else:
                return

    async def _write_async(
        self, batch: dict[bytes, _Change], done: Future[None]
    ) -> Exception | None:
        try:
            if any(_is_heavy(change) for change in batch.values()):
                sealed = await asyncio.to_thread(self._seal_all, batch)
            else:
                sealed = self._seal_all(batch)
            if self._is_resting("put"):
                raise ConnectionError("resting after a failure")
            await self.tier.put_many(sealed)
        except Exception as error:
            return error
        except BaseException as error:
            self._settle(batch, done, error)
            raise
        return None

    def drain(self) -> None:
        """Do the same without an event loop."""
        if self._lost_parts and self._parts_due():
            self._clear_parts()
        while True:
            batch, done, under_way = self._pick()
            if batch:
                error: Exception | None = None
                try:
                    sealed = self._seal_all(batch)
                    if self._is_resting("put"):
                        raise ConnectionError("resting after a failure")
                    self.tier.put_many_nowait(sealed)
                except Exception as caught:
                    error = caught
                except BaseException as caught:
                    self._settle(batch, done, caught)
                    raise
                self._settle(batch, done, error)
            elif under_way:
                under_way[0].result()
            else:
                return

    def _pick(self) -> tuple[dict[bytes, _Change], Future[None], Sequence[Future[None]]]:
        """Take what waits and is not under way already; or what is under way."""
        done: Future[None] = Future()
        with self._lock:
            keys = [key for key in self._waiting if key not in self._carried][:_BATCH]
            batch = {key: self._waiting.pop(key) for key in keys}
            under_way = [*self._carried.values()][:1]
            self._carried.update(dict.fromkeys(keys, done))
        return batch, done, under_way

    def _settle(
        self, batch: dict[bytes, _Change], done: Future[None], error: BaseException | None
    ) -> None:
        with self._lock:
            for key in batch:
                self._carried.pop(key, None)
            doubtful = self.guard.doubtful
            failed = set(batch) if error is not None else set()
            if isinstance(error, ServerUnavailable) and error.keys is not None:
                failed.intersection_update(error.keys)
            doubtful.difference_update(batch.keys() - failed)
            if error is None:
                self.guard.note_success("put")
                self._drop_doubtful()
            else:
                self._doubt(failed)
                self._drop_at = self._clock.monotonic() + _DROP_AGAIN_S
                if not self.guard.is_resting("put"):
                    self._note_failure("put", error)
        done.set_result(None)

    def _drop_doubtful(self) -> None:
        """Let some of what others still see there as it was be dropped, now that it can be."""
        if self._clock.monotonic() < self._drop_at:
            return
        for key in list(self.guard.doubtful)[:_BATCH]:
            self._waiting.setdefault(key, None)

    def _seal_all(self, batch: dict[bytes, _Change]) -> list[tuple[bytes, Blob | None]]:
        with self._lock:
            leases = {key: self._leases.pop(key) for key in batch if key in self._leases}
        return [(key, self._seal(key, change, leases.get(key))) for key, change in batch.items()]

    def _seal(self, key: bytes, change: _Change, lease: Lease | None) -> Blob | None:
        """Return the blob as it may stand there; None, which drops what is there, if it may not."""
        if change is None:
            return None
        try:
            blob = self._blob_of(change)
        except Exception:
            self.unpicklable += 1
            return None
        if self._signer is not None:
            blob = self._signer.sign(key, blob)
        elif not self._codec.may_travel(blob):
            self.forbidden += 1
            return None
        return blob if lease is None else LeasedBlob(*fields_of(blob), lease)

    def _blob_of(self, change: Parcel | Blob) -> Blob:
        if isinstance(change, Blob):
            return change
        pauses = _is_heavy(change)
        return self._codec.encode(change.value, change.expires_ns, change.tags, pauses=pauses)

    # --- up -----------------------------------------------------------------------------------

    async def fetch_async(self, key: bytes) -> Fetched | None:
        """Look for the key there."""
        if key in self._waiting or key in self._carried:
            await self.drain_async()
        if not self._is_read(key):
            return None
        try:
            blob = await self.tier.get(key)
        except Exception as error:
            self._note_failure("get", error)
            return None
        return self._opened(key, blob)

    def fetch(self, key: bytes) -> Fetched | None:
        """Do the same without an event loop."""
        if key in self._waiting or key in self._carried:
            self.drain()
        if not self._is_read(key):
            return None
        try:
            blob = self.tier.get_nowait(key)
        except Exception as error:
            self._note_failure("get", error)
            return None
        return self._opened(key, blob)

    async def fetch_many(self, keys: Sequence[bytes]) -> dict[bytes, Fetched]:
        """Look for many keys there in one go."""
        if self:
            await self.drain_async()
        wanted = [key for key in keys if self._is_read(key)]
        if not wanted:
            return {}
        try:
            blobs = await self.tier.get_many(wanted)
        except Exception as error:
            self._note_failure("get", error)
            return {}
        opened = ((key, self._opened(key, blob)) for key, blob in zip(wanted, blobs, strict=True))
        return {key: fetched for key, fetched in opened if fetched is not None}

    async def drop(self, key: bytes) -> bool:
        """Drop the key there, now; False where it was not, or that is not known."""
        with self._lock:
            self._waiting.pop(key, None)
        await self.drain_async()
        try:
            if not self._is_resting("put"):
                return bool(await self.tier.drop(key))
        except Exception as error:
            self._note_failure("put", error)
        self._doubt([key])
        return False

    def drop_now(self, key: bytes) -> bool:
        """Do the same without an event loop."""
        with self._lock:
            self._waiting.pop(key, None)
        self.drain()
        try:
            if not self._is_resting("put"):
                return bool(self.tier.drop_nowait(key))
        except Exception as error:
            self._note_failure("put", error)
        self._doubt([key])
        return False

    def _doubt(self, keys: Iterable[bytes]) -> None:
        """Believe nothing that is there of these keys."""
        with self._lock:
            doubtful = self.guard.doubtful
            doubtful.update(keys)
            if len(doubtful) > _MAX_DOUBTFUL:
                self._lost_parts.update(map(self._part_of, doubtful))
                self._n_losses += 1
                self._clear_at = self._clock.monotonic() + _DROP_AGAIN_S
                doubtful.clear()

    def _is_lost(self, key: bytes) -> bool:
        return bool(self._lost_parts) and self._part_of(key) in self._lost_parts

    def _is_read(self, key: bytes) -> bool:
        is_believed = key not in self.guard.doubtful and not self._is_lost(key)
        return is_believed and not self._is_resting("get")

    def _is_resting(self, operation: str) -> bool:
        return self.guard.is_resting(operation)

    def _opened(self, key: bytes, blob: Blob | None) -> Fetched | None:
        self.guard.note_success("get")
        if self.guard.doubtful and not self._is_resting("put"):
            with self._lock:
                self._drop_doubtful()
        if blob is None:
            return None
        try:
            if self._signer is None:
                return Fetched(blob, self.guard, is_trusted=False)
            return Fetched(self._signer.verify(key, blob), self.guard, is_trusted=True)
        except CorruptEntry:
            with self._lock:
                self.corrupt += 1
                self.publish(key, None)
            return None

    # --- all of it ----------------------------------------------------------------------------

    async def clear(self) -> None:
        """Drop everything there, for all processes."""
        self._forget_changes()
        await self._clear_parts_async()

    def clear_now(self) -> None:
        """Do the same without an event loop."""
        self._forget_changes()
        self._clear_parts()

    def _parts_due(self) -> bool:
        return self._clock.monotonic() >= self._clear_at and not self._is_resting("put")

    async def _clear_parts_async(self) -> None:
        tier: Any = self.tier
        parts, stamp = self._take_parts()
        try:
            if hasattr(tier, "clear_parts"):
                self._cleared(await asyncio.to_thread(tier.clear_parts, parts), stamp)
            else:
                await tier.aclear()
                self._cleared(parts, stamp)
        except Exception as error:
            self._note_failure("put", error)

    def _clear_parts(self) -> None:
        tier: Any = self.tier
        parts, stamp = self._take_parts()
        try:
            if hasattr(tier, "clear_parts"):
                self._cleared(tier.clear_parts(parts), stamp)
            else:
                tier.clear()
                self._cleared(parts, stamp)
        except Exception as error:
            self._note_failure("put", error)

    def _take_parts(self) -> tuple[frozenset[int], int]:
        """Return what to clear, and a stamp; the next try is not before a while."""
        with self._lock:
            self._clear_at = self._clock.monotonic() + _DROP_AGAIN_S
            return frozenset(self._lost_parts), self._n_losses

    def _cleared(self, parts: Collection[int], stamp: int) -> None:
        """Believe those parts again, unless more was lost while they were cleared."""
        with self._lock:
            if self._n_losses == stamp:
                self._lost_parts.difference_update(parts)

    async def publish_tags(self) -> None:
        """Tell the others of the tags that were invalidated here."""
        try:
            await self.tier.publish_tags()
        except Exception as error:
            self._note_failure("put", error)

    def publish_tags_now(self) -> None:
        """Do the same without an event loop."""
        try:
            self.tier.publish_tags_nowait()
        except Exception as error:
            self._note_failure("put", error)

    # --- leave to load --------------------------------------------------------------------

    async def lease_async(self, key: bytes) -> Lease | None:
        """Return the lease of a key, None while another holds it; without a token: load freely."""
        tier: Any = self.tier
        if self._is_read(key) and not self._is_resting("put"):
            try:
                lease: Lease | None = await tier.lease(key)
                return lease
            except Exception as error:
                self._note_failure("put", error)
        return _NO_LEASE

    def lease(self, key: bytes) -> Lease | None:
        """Do the same without an event loop."""
        tier: Any = self.tier
        if self._is_read(key) and not self._is_resting("put"):
            try:
                lease: Lease | None = tier.lease_nowait(key)
                return lease
            except Exception as error:
                self._note_failure("put", error)
        return _NO_LEASE

    async def release_async(self, key: bytes, lease: Lease) -> None:
        """Give a lease back, under which nothing was loaded."""
        tier: Any = self.tier
        if not self._is_resting("put"):
            try:
                await tier.release(key, lease)
            except Exception as error:
                self._note_failure("put", error)

    def release(self, key: bytes, lease: Lease) -> None:
        """Do the same without an event loop."""
        tier: Any = self.tier
        if not self._is_resting("put"):
            try:
                tier.release_nowait(key, lease)
            except Exception as error:
                self._note_failure("put", error)

    def _forget_changes(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._leases.clear()
            self.guard.doubtful.clear()
            self._lost_parts.update(self._parts)
            self._n_losses += 1

    async def aclose(self) -> None:
        await self.drain_async()
        try:
            await self.tier.aclose()
        except Exception as error:
            self._note_failure("close", error)

    def close(self) -> None:
        self.drain()
        try:
            self.tier.close()
        except Exception as error:
            self._note_failure("close", error)

    def after_fork(self, lock: threading.RLock) -> None:
        """Use the lock that replaces one which a thread of the parent may hold."""
        self._lock = lock
        self._carried.clear()

    def _note_failure(self, operation: str, error: BaseException) -> None:
        self.guard.note_failure(operation, error)


def _is_heavy(change: _Change) -> bool:
    return isinstance(change, Parcel) and estimate_bytes(change.value) >= _HEAVY_BYTES
