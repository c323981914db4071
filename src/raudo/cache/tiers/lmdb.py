"""A cache level that processes share: LMDB, many readers beside one writer (extra `lmdb`).

Any process that opens the folder sees what the others put there, and a record is whole or not
there. LMDB knows neither expiry nor eviction: before an entry's record stand its expiry and its
number in the order of puts, and the oldest go when the map is three quarters full. That leaves room
for the pages that LMDB needs in order to free others, which on a full map fails as well.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import struct
import threading
from pathlib import Path
from typing import Any, ClassVar

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.records import Records
from raudo.cache._forks import reset_after_fork
from raudo.cache.tiers.blobs import BLOBS
from raudo.errors import Closed, MissingExtra, TierUnavailable
from raudo.types import Blob, TierStats

__all__ = ["LmdbTier"]

_RECORDS = Records(BLOBS)
_NUMBER = struct.Struct(">Q")
_STAMP = struct.Struct("<QQ")  # number in the order of puts, expires_ns
_FULL_RATIO = 0.75
_MAX_PLAIN_KEY_BYTES = 500  # LMDB takes 511


class LmdbTier:
    """A shared level in a folder; thread-safe, and any number of processes may open it.

    After a fork the child has no access: `TierUnavailable`; it opens a tier of its own.

    Args:
        path: The folder; made with mode 0700 where it does not exist.
        max_bytes: Size of the map, at least 1 MiB; the same in all processes.
        sync: Wait for the disk before `put` returns. Without it a crash of the machine, not of a
            process, may lose the latest puts.
    """

    name = "lmdb"
    survives_restart: ClassVar[bool] = True
    shared: ClassVar[bool] = True
    trusted: ClassVar[bool] = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 1 << 30,
        sync: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise MissingExtra("the lmdb tier", "lmdb") from error
        if max_bytes < 1 << 20:
            raise ValueError(f"max_bytes must be at least 1048576, got {max_bytes}")
        self.path = Path(path).absolute()
        self.max_bytes = max_bytes
        self.blocks_on_put = sync
        self._lmdb: Any = lmdb
        self._clock = clock
        self._lock = threading.Lock()
        self._hits = self._misses = self._puts = self._evictions = self._expirations = 0
        self._errors = self._corrupt = 0
        self._is_forked = False
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(self.path)
            self._env: Any = lmdb.open(
                str(self.path),
                map_size=max_bytes,
                max_dbs=2,
                mode=0o600,
                sync=sync,
                metasync=sync,
                readahead=False,
                max_readers=1024,
            )
            # A reader that was killed keeps pages from being freed until its slot is cleared.
            self._env.reader_check()
            self._entries = self._env.open_db(b"entries")
            self._order = self._env.open_db(b"order")
        except lmdb.Error as error:
            raise TierUnavailable(f"cannot open the cache at {self.path}: {error}") from error
        except OSError as error:
            raise TierUnavailable(f"cannot use {self.path} for a cache: {error}") from error
        reset_after_fork(self)

    def get_nowait(self, key: bytes) -> Blob | None:
        """Return the blob; from the page cache mostly, else waiting for the disk."""
        self._check()
        try:
            with self._env.begin(db=self._entries, buffers=True) as transaction:
                stored = transaction.get(_short(key))
                blob = self._open(stored, key) if stored is not None else None
        except self._lmdb.Error as error:
            raise self._failure("get", error) from error
        if blob is None and stored is not None:
            self._corrupt += 1
            self.drop_nowait(key)
        if blob is not None and 0 < blob.expires_ns <= self._clock.time_ns():
            self._expirations += self.drop_nowait(key)
            blob = None
        if blob is None:
            self._misses += 1
            return None
        self._hits += 1
        return blob

    def put_nowait(self, key: bytes, blob: Blob) -> None:
        """Store the blob; the oldest go where the map fills up. Waits for a writer elsewhere."""
        self._check()
        short = _short(key)
        try:
            meta, length = _RECORDS.measure(key, blob)
        except ValueError:
            length = self.max_bytes
        if length > self.max_bytes // 8:  # LMDB wants its pages in a row
            self.drop_nowait(key)
            self._evictions += 1
            return
        # Sealed for a place that is the same in every process: its key binds the record.
        record = _RECORDS.seal(key, meta, blob, 0, 0) + blob.payload
        try:
            with self._env.begin(write=True) as transaction:
                evicted = self._make_room(transaction, length)
                self._remove(transaction, short)
                cursor = transaction.cursor(db=self._order)
                number = _NUMBER.unpack(cursor.key())[0] + 1 if cursor.last() else 0
                stamp = _STAMP.pack(number, blob.expires_ns)
                transaction.put(short, stamp + record, db=self._entries)
                transaction.put(_NUMBER.pack(number), short, db=self._order, append=True)
        except self._lmdb.Error as error:
            self.drop_nowait(key)  # never an older value after a put
            raise self._failure("put", error) from error
        with self._lock:
            self._puts += 1
            self._evictions += evicted

    def drop_nowait(self, key: bytes) -> bool:
        """Remove the entry; True where there was one."""
        self._check()
        try:
            with self._env.begin(write=True) as transaction:
                return self._remove(transaction, _short(key))
        except self._lmdb.Error as error:
            raise self._failure("drop", error) from error

    def sweep_nowait(self, now_ns: int) -> int:
        """Drop what has expired, for all processes; return how many. Reads every entry's stamp."""
        self._check()
        try:
            with self._env.begin(db=self._entries, buffers=True) as transaction:
                expired = [
                    bytes(short)
                    for short, stored in transaction.cursor()
                    if 0 < _stamp(stored)[1] <= now_ns
                ]
            n = 0
            with self._env.begin(write=True) as transaction:
                for short in expired:
                    stored = transaction.get(short, db=self._entries)
                    if stored is not None and 0 < _stamp(stored)[1] <= now_ns:
                        n += self._remove(transaction, short)
        except self._lmdb.Error as error:
            raise self._failure("sweep", error) from error
        self._expirations += n
        return n

    def clear(self) -> int:
        """Drop everything, for all processes; return how many entries that were."""
        self._check()
        try:
            with self._env.begin(write=True) as transaction:
                n: int = transaction.stat(self._entries)["entries"]
                transaction.drop(self._entries, delete=False)
                transaction.drop(self._order, delete=False)
        except self._lmdb.Error as error:
            raise self._failure("clear", error) from error
        return n

    def flush(self) -> None:
        """Wait until the disk has what was put."""
        self._check()
        try:
            self._env.sync(True)
        except self._lmdb.Error as error:
            raise self._failure("flush", error) from error

    def __len__(self) -> int:
        if self._env is None or self._is_forked:
            return 0
        with self._env.begin() as transaction:
            n: int = transaction.stat(self._entries)["entries"]
        return n

    async def get(self, key: bytes) -> Blob | None:
        return await asyncio.to_thread(self.get_nowait, key)

    async def put(self, key: bytes, blob: Blob) -> None:
        await asyncio.to_thread(self.put_nowait, key, blob)

    async def drop(self, key: bytes) -> bool:
        return await asyncio.to_thread(self.drop_nowait, key)

    async def sweep(self, now_ns: int) -> int:
        return await asyncio.to_thread(self.sweep_nowait, now_ns)

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Give the map up; the entries stay. Closing twice is harmless."""
        with self._lock:
            env, self._env = self._env, None
        if env is not None and not self._is_forked:
            env.close()

    def stats(self) -> TierStats:
        """Return what this process counted, and what all of them have stored."""
        entries = used = 0
        if self._env is not None and not self._is_forked:
            with self._env.begin() as transaction:
                entries, used = self._usage(transaction)
        return TierStats(
            entries=entries,
            bytes_used=used,
            hits=self._hits,
            misses=self._misses,
            puts=self._puts,
            evictions=self._evictions,
            expirations=self._expirations,
            errors=self._errors,
            corrupt=self._corrupt,
        )

    def _usage(self, transaction: Any) -> tuple[int, int]:
        stats = [transaction.stat(database) for database in (self._entries, self._order)]
        pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
        return stats[0]["entries"], pages * stats[0]["psize"]

    def _make_room(self, transaction: Any, length: int) -> int:
        """Drop the oldest until an entry of this length fits; return how many went."""
        n = 0
        limit = int(self.max_bytes * _FULL_RATIO) - length
        while self._usage(transaction)[1] > limit:
            cursor = transaction.cursor(db=self._order)
            if not cursor.first():
                break
            n += self._remove(transaction, cursor.value())
        return n

    def _remove(self, transaction: Any, short: bytes) -> bool:
        stored = transaction.pop(short, db=self._entries)
        if stored is None:
            return False
        transaction.delete(_NUMBER.pack(_stamp(stored)[0]), db=self._order)
        return True

    def _open(self, stored: memoryview, key: bytes) -> Blob | None:
        try:
            blob: Blob | None = _RECORDS.open(stored[_STAMP.size :], key, 0, 0)
        except (IndexError, struct.error, UnicodeError):
            return None
        return blob

    def _failure(self, operation: str, error: Exception) -> TierUnavailable:
        self._errors += 1
        return TierUnavailable(f"cannot {operation} in the cache at {self.path}: {error}")

    def _check(self) -> None:
        if self._is_forked:
            raise TierUnavailable(
                f"the lmdb tier at {self.path} belongs to the process that this one was forked "
                "from: open another"
            )
        if self._env is None:
            raise Closed(f"the lmdb tier at {self.path} is closed")

    def _after_fork(self) -> None:
        self._is_forked = True
        self._lock = threading.Lock()


def _short(key: bytes) -> bytes:
    """Return a key that LMDB takes, neither empty nor too long; the record has the whole."""
    if len(key) <= _MAX_PLAIN_KEY_BYTES:
        return b"k" + key
    return b"h" + hashlib.sha256(key).digest()


def _stamp(stored: bytes | memoryview) -> tuple[int, int]:
    """Return number and expiry of what is stored, zeros for what someone else cut short."""
    if len(stored) < _STAMP.size:
        return 0, 0
    number, expires_ns = _STAMP.unpack_from(stored)
    return number, expires_ns


def _check_private(path: Path) -> None:
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise TierUnavailable(f"{path} belongs to another user, {status.st_uid}")
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise TierUnavailable(
            f"{path} can be written by other users (mode {stat.S_IMODE(status.st_mode):o}): "
            "give the cache a folder of its own"
        )
