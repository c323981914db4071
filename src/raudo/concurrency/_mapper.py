"""Runs a function over items on an engine's workers: the work behind `map` and `parallel_map`.

One loop, in the thread that consumes the results: cut a chunk, send it, wait for any to end, put
results in order. Input is read as results are taken, never further ahead than `read_ahead` items.
With kind "auto" the loop asks the router before each chunk, so a function changes workers in the
middle of a map when what it does becomes known.
"""

from __future__ import annotations

import math
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from raudo.concurrency._chunking import ChunkSizer
from raudo.concurrency._workers.chunks import (
    ChunkResult,
    Started,
    run_chunk,
    run_chunk_remotely,
)
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.keepers import Unpicklable
from raudo.concurrency._workers.pickling import name_of
from raudo.concurrency.backends import Backend
from raudo.concurrency.routing import Kind
from raudo.errors import TaskTimeout, WorkerDied

__all__ = ["Mapper", "OnError", "Plan"]

OnError = Literal["raise", "return", "skip"]

_FIRST_LOOK_SECONDS = 0.002  # how long an unknown function runs alone before it is looked at
_WORTH_STARTING_SECONDS = 0.2  # work below which starting processes costs more than it saves
_BUSY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How a map is to run."""

    kind: Kind | Literal["auto"] = "auto"
    chunksize: int | None = None
    timeout: float | None = None
    retries: int = 0
    on_error: OnError = "raise"
    ordered: bool = True
    read_ahead: int | None = None
    n_items: int | None = None
    deadline: float | None = None  # monotonic seconds by which the next result must be there
    is_spread: bool = False  # items are tuples of arguments
    fails_fast: bool = False  # raise as soon as anything failed, not when its turn comes


class _Group:
    """A chunk as it was cut: the unit that is put in order. It may run in several pieces."""

    __slots__ = ("errors", "missing", "n_items", "n_not_run", "number", "values")

    def __init__(self, number: int, n_items: int) -> None:
        self.number, self.n_items, self.missing = number, n_items, n_items
        self.n_not_run = 0  # items after an error that ended their chunk
        self.values: list[Any] = [None] * n_items
        self.errors: dict[int, BaseException] = {}

    def put(self, at: int, n_items: int, result: ChunkResult) -> None:
        self.values[at : at + len(result.values)] = result.values
        for offset, error in result.errors.items():
            self.errors[at + offset] = error
        self.n_not_run += n_items - len(result.values)
        self.missing -= n_items

    def fail(self, at: int, n_items: int, error: BaseException) -> None:
        for each in range(at, at + n_items):
            self.errors[each] = error
        self.missing -= n_items


class _Piece(NamedTuple):
    """Neighbouring items of a group, run as one task."""

    group: _Group
    at: int
    items: Sequence[Any]
    kind: Kind
    attempt: int
    started: Started | None
    n_beside: int
    sent: float = 0.0


class Mapper:
    """One map. Used by one thread; `results` is called once."""

    def __init__(
        self,
        backend: Backend,
        fn: Callable[..., Any],
        items: Iterator[Any],
        plan: Plan,
    ) -> None:
        self._backend, self._fn, self._plan = backend, fn, plan
        self._items = self._read(items)
        self.on_taken: Callable[[int], object] = lambda n: None
        self.on_done: Callable[[int, int], object] = lambda n_done, n_failed: None
        self._n_taken = self._n_ended = 0
        self._is_stopped = False
        chunksize = 1 if plan.timeout is not None else plan.chunksize
        self._sizer = ChunkSizer(chunksize, plan.n_items, backend.chunk_s)
        self._shared_fn: Any = None
        self._is_exhausted = False
        self._n_groups = 0
        self._next_number = 0
        self._n_ahead = 0  # items taken whose results have not been handed on
        self._ready: dict[int, _Group] = {}
        self._in_flight: dict[Future[Any], _Piece] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._again: deque[_Piece] = deque()
        self._failure: BaseException | None = None
        self._input_error: Exception | None = None
        self.n_stuck_threads = 0

    def results(self) -> Iterator[list[Any]]:
        """Yield the results, in lists; closing the iterator cancels what has not begun."""
        try:
            while not self._is_stopped:
                self._send()
                if self._failure is not None and self._plan.fails_fast:
                    raise self._failure
                yield from self._hand_on()
                if not self._in_flight and not self._again:
                    if self._is_exhausted and not self._ready:
                        if self._input_error is not None:
                            raise self._input_error
                        return
                    continue
                if self._next_number not in self._ready:
                    self._await_one()
        finally:
            self._abandon()

    def _read(self, items: Iterator[Any]) -> Iterator[Any]:
        """End where the input raises: the results of what came before are handed on first."""
        try:
            yield from items
        except Exception as error:
            self._input_error = error
            if self._plan.fails_fast:
                self._failure = error

    # --- handing on -------------------------------------------------------------------------

    def _hand_on(self) -> Iterator[list[Any]]:
        while self._ready:
            number = self._next_number if self._plan.ordered else next(iter(self._ready))
            group = self._ready.pop(number, None)
            if group is None:
                return
            self._next_number += 1
            self._n_ahead -= group.n_items
            if not group.errors:
                yield group.values
                continue
            good: list[Any] = []
            for at, value in enumerate(group.values):
                error = group.errors.get(at)
                if error is None:
                    good.append(value)
                elif self._plan.on_error == "raise":
                    yield good
                    raise error
                elif self._plan.on_error == "return":
                    good.append(error)
            yield good

    # --- sending ----------------------------------------------------------------------------

    def _send(self) -> None:
        """Send pieces until the workers have enough to do."""
        while True:
            # What ended meanwhile tells how large the next chunk should be.
            while not self._ended.empty():
                self._receive(self._ended.get())
            while self._again:
                self._submit(self._again.popleft())
            if self._is_exhausted or self._failure is not None:
                return
            room = self._room_ahead()
            if room <= 0:
                return
            kind, slots = self._choose()
            if kind != "inline" and len(self._in_flight) >= slots:
                return
            items = self._sizer.cut(self._items, kind, self._backend.slots(kind), room)
            if not items:
                self._is_exhausted = True
                return
            group = _Group(self._n_groups, len(items))
            self._n_groups += 1
            self._n_ahead += len(items)
            self._n_taken += len(items)
            self.on_taken(len(items))
            if kind == "inline":
                self._run_inline(group, items)
                return
            self._submit(self._piece(group, 0, items, kind, 0))

    def _room_ahead(self) -> int:
        limit = self._plan.read_ahead
        return 1 << 60 if limit is None else limit - self._n_ahead

    def _choose(self) -> tuple[Kind, int]:
        """Return the kind for the next chunk, and how many pieces may be in flight."""
        backend, plan = self._backend, self._plan
        if plan.kind == "inline":
            return "inline", 1
        if plan.kind != "auto":
            return plan.kind, self._depth(plan.kind)
        router = backend.router
        if not router.is_known(self._fn):
            if plan.n_items == 1 and plan.timeout is None and plan.deadline is None:
                return "inline", 1
            return "thread", self._slots_while_unknown()
        kind = router.choose(self._fn)
        if kind == "inline" and plan.timeout is not None:
            kind = "thread"
        if kind == "process" and not backend.is_warm("process"):
            left_s = self._sizer.left_seconds()
            if left_s is not None and left_s < _WORTH_STARTING_SECONDS:
                kind = "thread"
        if kind == "thread" and router.is_busy(self._fn):
            return "thread", max(1, min(2 * usable_cpus(), backend.slots("thread")))
        return kind, self._depth(kind)

    def is_known_to_be_inline(self) -> bool:
        """Say whether the next items are to run in the thread that takes the results."""
        if self._plan.kind != "auto":
            return self._plan.kind == "inline"
        return self._backend.router.is_known(self._fn) and self._choose()[0] == "inline"

    def _depth(self, kind: Kind) -> int:
        """Enough pieces that no worker waits for this thread; one each where they are timed, and
        two until it is known what an item takes."""
        n_slots = self._backend.slots(kind)
        if self._plan.timeout is not None:
            return n_slots
        n_ahead = self._backend.ahead(kind)
        return n_ahead if self._sizer.is_informed else min(n_ahead, 2 * n_slots)

    def _slots_while_unknown(self) -> int:
        """An unknown function starts alone. If it turns out to wait, all threads may run it; if it
        is busy, no more than there are CPUs, until the first call tells whether it may move."""
        n_threads = self._backend.slots("thread")
        if not self._in_flight:
            return 1
        shares = [
            share
            for piece in self._in_flight.values()
            if piece.started is not None
            and (share := piece.started.cpu_share(_FIRST_LOOK_SECONDS)) is not None
        ]
        if not shares:
            return 1
        if max(shares) >= _BUSY_SHARE:
            return max(1, min(usable_cpus(), n_threads))
        return n_threads

    def _piece(
        self, group: _Group, at: int, items: Sequence[Any], kind: Kind, attempt: int
    ) -> _Piece:
        started = Started() if kind == "thread" else None
        n_beside = len(self._in_flight) + 1
        return _Piece(group, at, items, kind, attempt, started, n_beside, time.monotonic())

    def _submit(self, piece: _Piece) -> None:
        plan = self._plan
        stops = plan.on_error == "raise"
        args: tuple[Any, ...] = (piece.items, plan.is_spread, plan.retries, stops)
        if piece.kind == "thread":
            future = self._backend.submit("thread", run_chunk, (self._fn, *args, piece.started), {})
        else:
            if self._shared_fn is None:
                self._shared_fn = self._backend.share(self._fn)
            future = self._backend.submit(
                "process", run_chunk_remotely, (self._shared_fn, *args), {}, timeout=plan.timeout
            )
        self._in_flight[future] = piece
        future.add_done_callback(self._ended.put)

    def _run_inline(self, group: _Group, items: Sequence[Any]) -> None:
        plan = self._plan
        stops = plan.on_error == "raise"
        result = run_chunk(self._fn, items, plan.is_spread, plan.retries, stops, catches=Exception)
        self._settle(_Piece(group, 0, items, "inline", 0, None, 1), result)

    # --- receiving --------------------------------------------------------------------------

    def _await_one(self) -> None:
        """Wait until a piece ends, its time is over, or it is time to look at it."""
        # Nothing is done while the Empty is handled: a Ctrl-C would be shown together with it.
        ended: Future[Any] | None = None
        with suppress(queue.Empty):
            ended = self._ended.get(timeout=self._patience())
        if ended is not None:
            self._receive(ended)
            return
        deadline = self._plan.deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise TaskTimeout("the map's results were not there in time")
        self._drop_overdue()

    def _receive(self, future: Future[Any]) -> None:
        piece = self._in_flight.pop(future, None)
        if piece is None:
            return  # its time was over before
        try:
            result: ChunkResult = future.result()
        except (Exception, CancelledError) as error:
            self._recover(piece, error)
        except BaseException as error:
            piece.group.fail(piece.at, len(piece.items), error)
            self._note_failure(error)
            self._finish(piece)
        else:
            result.decode_errors()
            self._settle(piece, result)

    def _patience(self) -> float | None:
        """Return how long to wait for an end before something else is to be done."""
        patience: float | None = None
        if self._plan.timeout is not None:
            now = time.monotonic()
            for piece in self._in_flight.values():
                if piece.started is not None:
                    begun = piece.started.at
                    left = self._plan.timeout - (0.0 if begun is None else now - begun)
                    patience = left if patience is None else min(patience, left)
        if self._plan.deadline is not None:
            left = self._plan.deadline - time.monotonic()
            patience = left if patience is None else min(patience, left)
        if self._plan.kind == "auto" and not self._backend.router.is_known(self._fn):
            patience = min(math.inf if patience is None else patience, _FIRST_LOOK_SECONDS)
        return None if patience is None else max(patience, 0.0005)

    def _drop_overdue(self) -> None:
        timeout = self._plan.timeout
        if timeout is None:
            return
        now = time.monotonic()
        for future, piece in list(self._in_flight.items()):
            begun = piece.started.at if piece.started is not None else None
            if begun is None or now - begun < timeout or future.done():
                continue
            del self._in_flight[future]
            self.n_stuck_threads += 1
            self._backend.replace_stuck_thread()
            error = TaskTimeout(
                f"{name_of(self._fn)} ran longer than {timeout:g} s on a thread, which cannot be "
                "stopped and runs on"
            )
            self._recover(piece, error)

    def _settle(self, piece: _Piece, result: ChunkResult) -> None:
        n_run = len(result.values)
        if n_run:
            self._sizer.observe(n_run, result.wall_s)
            shown = next((v for at, v in enumerate(result.values) if at not in result.errors), None)
            self._backend.router.observe(
                self._fn,
                piece.kind,
                result.wall_s / n_run,
                result.cpu_s / n_run,
                busy_s=result.busy_s / n_run,
                result=shown,
                n_running=max(piece.n_beside, len(self._in_flight) + 1),
                n_calls=n_run,
                since_s=time.monotonic() - piece.sent if piece.sent else None,
            )
        for error in result.errors.values():
            self._note_failure(error)
        piece.group.put(piece.at, len(piece.items), result)
        self._finish(piece)

    def _recover(self, piece: _Piece, error: BaseException) -> None:
        """Deal with a piece whose task failed as a whole: the items did not fail by themselves."""
        group, at, items, kind, attempt, *_ = piece
        if isinstance(error, Unpicklable) and self._plan.kind == "auto":
            self._backend.router.keep_here(self._fn, "its arguments do not pickle")
            self._again.append(self._piece(group, at, items, "thread", attempt))
            return
        if isinstance(error, Unpicklable | WorkerDied) and len(items) > 1:
            # Nothing is known of the items but that one of them is at fault: run them one by one.
            for offset, item in enumerate(items):
                self._again.append(self._piece(group, at + offset, [item], kind, attempt))
            return
        if isinstance(error, TaskTimeout | WorkerDied) and attempt < self._plan.retries:
            self._again.append(self._piece(group, at, items, kind, attempt + 1))
            return
        group.fail(at, len(items), error)
        self._note_failure(error)
        self._finish(piece)

    def _note_failure(self, error: BaseException) -> None:
        if self._plan.on_error == "raise" and self._failure is None:
            self._failure = error

    def _finish(self, piece: _Piece) -> None:
        group = piece.group
        if group.missing == 0:
            self._ready[group.number] = group
            n_failed = len(group.errors)
            n_done = group.n_items - n_failed - group.n_not_run
            self._n_ended += n_done + n_failed
            self.on_done(n_done, n_failed)

    @property
    def n_unfinished(self) -> int:
        """Items that were taken and of which nothing came."""
        return self._n_taken - self._n_ended

    def stop(self) -> None:
        """Have `results` end early: what has not begun is cancelled. From any thread."""
        self._is_stopped = True
        self._ended.put(Future())  # wakes the loop

    def _abandon(self) -> None:
        for future in list(self._in_flight):
            with suppress(RuntimeError):
                future.cancel()
        self._in_flight.clear()
