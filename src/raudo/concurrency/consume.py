"""`AsyncProcessor.consume`: a queue's messages through a handler, each at least once.

A fetcher receives batches while fewer than `window` messages are held; workers run the handler,
messages of one key one after another; a settler remembers what was handled and acknowledges it in
batches. What fails is tried again here, holding back its key only, and goes to the dead letters
after the last attempt. A source that fails is asked again, later and later, with jitter.

Promised, for every message that the source delivers:

- It is acknowledged only after the handler has returned for it, or for one of the same idempotency
  key, or after the dead letters have it. So nothing is lost by the end of a process.
- The handler runs again for a key only if it did not end before, or if its end was not yet
  remembered when the process died (some milliseconds), or if the window of `seen` is past, or if
  two consumers got the key at the same time. While one consumer handles a key, a second message of
  the same key waits for the outcome.
- One consumer never handles two messages of one key at once, nor out of the order it got them in.
  Whether one key always goes to the same consumer is the source's promise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, Self

from raudo import _trace, events
from raudo.concurrency._calls import is_coroutine_function
from raudo.concurrency._consumed import Consumed, Tally
from raudo.concurrency._deadlines import NOT_TIMED, Run
from raudo.concurrency._engine import Engine, Plan
from raudo.concurrency._lanes import Lanes
from raudo.concurrency._source import UNREACHABLE, Link
from raudo.errors import CircuitOpen
from raudo.types import Message, MessageSource, SeenKeys

__all__ = ["Consumed", "Consumer", "Tally"]

_RECEIVE_S = 1.0  # one wait for messages; ending does not wait for it
_CLOSE_S = 5.0  # to give back and to leave the group, before both are given up


class Consumer:
    """A source's messages on their way through a handler; what `AsyncProcessor.consume` returns.

    `await consumer` runs it until somebody calls `stop`; `async with` runs it beside the block.
    """

    def __init__(
        self,
        engine: Engine,
        source: MessageSource,
        handler: Callable[[Message], Any],
        plan: Plan,
        *,
        max_concurrent: int,
        window: int,
        max_deliveries: int,
        seen: SeenKeys,
        tally: Tally,
        on_end: Callable[[], object],
    ) -> None:
        self._engine, self._source, self._handler, self._plan = engine, source, handler, plan
        self._n_workers, self._window = max_concurrent, window
        self._max_deliveries, self._seen = max_deliveries, seen
        self._tally, self._on_end = tally, on_end
        self._link = Link(source, tally, engine.clock)
        self._lanes = Lanes()
        # By idempotency key: how often it failed, and the timer that makes it ready again.
        self._failures: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._unsorted: list[Message] = []
        self._returning: list[Message] = []
        self._settled: set[str] = set()  # while the keys of a batch are looked up
        self._done: list[Message] = []
        self._duplicates: list[Message] = []
        self._n_held = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._has_room, self._has_done = asyncio.Event(), asyncio.Event()
        self._ending = asyncio.Event()
        self._error: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[Consumed] | None = None

    # --- beginning and end ------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Consumed]:
        return self.run().__await__()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop(error)
        await self.run()

    def stop(self, reason: BaseException | None = None) -> None:
        """Receive no more, finish what the handler is at, give back the rest, leave the group.

        Returns at once; `await consumer` ends when it is done. With a reason the handler's calls
        are cancelled too, and their messages given back. From the loop's thread.
        """
        if not self._ending.is_set():
            self._ending.set()
            self._link.give_up_at = self._engine.clock() + _CLOSE_S
            self._returning = self._take_waiting()  # now, before a worker begins with one of them
        if reason is not None:
            for worker in self._workers:
                worker.cancel()

    async def run(self) -> Consumed:
        """Consume until `stop`; return what became of the messages.

        Cancelling it cancels the handler's calls and gives all messages back.

        Raises:
            Exception: Whatever the source raised that is not an `OSError` or a `RaudoError`.
        """
        task = self._start()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self.stop(asyncio.CancelledError())
                await asyncio.wait([task])
            raise

    def _start(self) -> asyncio.Task[Consumed]:
        if self._task is None:
            self._task = self._engine.loop.create_task(self._run())
        return self._task

    async def _run(self) -> Consumed:
        engine = self._engine
        engine.enter(self)
        helpers: list[asyncio.Task[None]] = []
        try:
            for _ in range(self._n_workers):
                self._workers.append(self._spawn(self._work()))
            fetcher = self._spawn(self._fetch())
            settler = self._spawn(self._settle())
            helpers += fetcher, settler, self._spawn(self._link.follow_lag())
            await self._ending.wait()
            await _ended([fetcher])
            await self._give_back(self._returning + self._take_waiting())
            self._wake(self._n_workers)
            await asyncio.wait(self._workers)
            self._has_done.set()
            await asyncio.wait([settler])
        finally:
            self._ending.set()
            try:
                await _ended([*self._workers, *helpers])
                await self._leave()
            finally:
                self._on_end()
                engine.leave(self)
        if self._error is not None:
            raise self._error
        return self._tally.consumed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._engine.loop.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the end of a part that nothing here can deal with end the whole."""
        try:
            await work
        except Exception as error:
            self._error = self._error or error
            self.stop(error)
        except BaseException:
            self.stop()
            raise

    def _take_waiting(self) -> list[Message]:
        """Take out what the handler is not at."""
        waiting = self._lanes.take_waiting()
        for name, timer in self._later.items():
            timer.cancel()
            waiting.append(self._lanes.held[name])
            self._engine.ledger.cancelled += 1
        self._later.clear()
        return waiting

    async def _leave(self) -> None:
        """Give back what is held still, and leave the group; not for ever."""
        twins = (twin for some in self._lanes.twins.values() for twin in some)
        held = [*self._lanes.held.values(), *twins, *self._duplicates, *self._unsorted]
        self._tally.given_back += len(held)
        self._count_held(-self._n_held)
        try:
            async with asyncio.timeout(_CLOSE_S):
                if held:
                    await self._source.retry(held)
                await self._source.close()
        except UNREACHABLE as error:  # what it holds is delivered to others when it is missed
            self._link.failed("close", error)

    @property
    def counts(self) -> Consumed:
        """What became of the messages so far. Thread-safe."""
        return self._tally.consumed()

    # --- as the engine sees it ----------------------------------------------------------------

    @property
    def n_uncounted(self) -> int:
        return 0

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        return task in self._workers

    # --- receiving ----------------------------------------------------------------------------

    async def _fetch(self) -> None:
        # A batch is worth its round trip; below this much room the handler has enough to do.
        worth_it = max(1, self._window // 4)
        while True:
            while (room := self._window - self._n_held) < worth_it:
                self._has_room.clear()
                await self._has_room.wait()
            messages = await self._link.surely(
                "receive", partial(self._source.receive, room, _RECEIVE_S)
            )
            if not messages:
                continue
            self._count_held(len(messages))
            keys = [message.idempotency_key for message in messages]
            self._settled = set()
            try:
                known = await self._link.surely("seen", partial(self._seen.known, keys))
            except asyncio.CancelledError:
                self._unsorted += messages  # they go back
                raise
            if self._settled:
                known = {*known, *self._settled}
            for message, key in zip(messages, keys, strict=True):
                if key in known:
                    self._duplicates.append(message)
                    self._has_done.set()
                else:
                    self._lanes.take(message)
            self._wake(len(self._lanes.ready))

    def _wake(self, n: int) -> None:
        idle = self._idle
        while idle and n > 0:
            waiter = idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                n -= 1

    # --- handling -----------------------------------------------------------------------------

    async def _work(self) -> None:
        engine, plan, handler = self._engine, self._plan, self._handler
        lanes, ready, behind = self._lanes, self._lanes.ready, self._lanes.behind
        task = asyncio.current_task()
        assert task is not None
        ledger, clock, holds = engine.ledger, engine.clock, self._source.holds
        failures, max_deliveries = self._failures, self._max_deliveries
        has_done = self._has_done
        run = Run(task)
        sweep = engine.watch(run, plan.timeout)
        # The commonest path, a coroutine function without limits, spares the engine's.
        may_be_direct = (
            plan.kind in ("auto", "async")
            and not plan.isolate
            and not engine.limits.any
            and is_coroutine_function(handler)
        )
        try:
            while True:
                if not ready:
                    if self._ending.is_set():
                        return
                    waiter = engine.loop.create_future()
                    self._idle.append(waiter)
                    await waiter
                    continue
                message = ready.popleft()
                if not holds(message):
                    await self._give_back([message])
                    continue
                if message.deliveries > max_deliveries:
                    await self._bury(message, f"delivered {message.deliveries - 1} times in vain")
                    continue
                if not failures or message.idempotency_key not in failures:
                    ledger.submitted += 1
                is_direct = may_be_direct and _trace.begin is None
                try:
                    if is_direct:
                        run.ran_s, run.started = 0.0, clock()
                        begun = run.started
                        await handler(message)
                        if run.timed_out or run.stopped is not None:
                            run.settle_value()
                        run.started = NOT_TIMED
                        run.ran_s = clock() - begun
                    else:
                        run.reset()
                        await engine.attempt(run, (handler, (message,), {}), plan)
                except BaseException as error:
                    final = engine.settled(run, error, plan) if is_direct else error
                    try:
                        await self._recover(run, message, final)
                    finally:
                        del final  # its traceback holds this frame
                else:
                    ledger.succeeded += 1
                    ledger.note_run(run.ran_s)
                    if not is_direct:
                        ledger.count_kind(run.kind)
                    self._done.append(message)
                    if not has_done.is_set():
                        has_done.set()
                    key = message.key
                    if key is not None:
                        if behind[key]:
                            lanes.next_of(key)
                            self._wake(1)
                        else:
                            del behind[key]
        finally:
            if sweep is not None:
                sweep.unwatch(run)

    async def _recover(self, run: Run, message: Message, error: BaseException) -> None:
        """Have the message tried again after a pause, or bury it."""
        ledger, rule, budget = self._engine.ledger, self._plan.rule, self._engine.limits.budget
        if run.task.cancelling() > run.cancelling or isinstance(
            error, KeyboardInterrupt | SystemExit | GeneratorExit
        ):
            ledger.cancelled += 1
            ledger.note_run(run.ran_s)
            raise error  # the message is held still, and goes back
        name = message.idempotency_key
        failures = self._failures.setdefault(name, 0)
        pause = None
        if isinstance(error, CircuitOpen):
            # Not the message's fault, nor an attempt of its.
            pause = max(error.retry_after, rule.backoff.delay(1))
        elif isinstance(error, Exception):
            self._failures[name] = failures = failures + 1
            pause = rule.pause(error, failures)
            if pause is not None and budget is not None and not budget.withdraw():
                error.add_note("not tried again: the retry budget is spent")
                pause = None
        if pause is None:
            ledger.failed += 1
            ledger.note_run(run.ran_s)
            await self._bury(message, f"{type(error).__name__}: {error}")
        else:
            ledger.retried += 1
            ledger.busy_s += run.ran_s  # an attempt of a task that has not ended
            self._later[name] = self._engine.loop.call_later(pause, self._again, message)

    def _again(self, message: Message) -> None:
        del self._later[message.idempotency_key]
        self._lanes.ready.append(message)
        self._wake(1)

    async def _bury(self, message: Message, reason: str) -> None:
        await self._link.surely("dead_letter", partial(self._source.dead_letter, message, reason))
        self._tally.dead += 1
        events.emit(events.MessageBuried(self._source.name, message.id, reason))
        self._release(message)

    # --- settling -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Remember and acknowledge what is done, all that has come together meanwhile at once."""
        while True:
            if not self._done and not self._duplicates:
                if self._ending.is_set() and all(worker.done() for worker in self._workers):
                    return
                self._has_done.clear()
                await self._has_done.wait()
                continue
            done, self._done = self._done, []
            again, self._duplicates = self._duplicates, []
            if done:
                keys = [message.idempotency_key for message in done]
                await self._link.surely("remember", partial(self._seen.remember, keys))
                self._settled.update(keys)
                if twins := self._lanes.twins:
                    for key in keys:
                        again += twins.pop(key, ())
            both = done + again
            await self._link.surely("ack", partial(self._source.ack, both))
            self._tally.handled += len(done)
            self._tally.duplicates += len(again)
            held, failures = self._lanes.held, self._failures
            for message in done:
                del held[message.idempotency_key]
            if failures:
                for message in done:
                    failures.pop(message.idempotency_key, None)
            self._count_held(-len(both))

    def _count_held(self, n: int) -> None:
        self._n_held += n
        self._tally.held += n
        if n < 0:
            self._has_room.set()

    def _forget(self, message: Message) -> None:
        del self._lanes.held[message.idempotency_key]
        self._failures.pop(message.idempotency_key, None)

    def _release(self, message: Message) -> None:
        """Let go of a message that was not handled; those behind it have their turn."""
        self._forget(message)
        self._count_held(-1)
        if self._ending.is_set():
            return  # all that waits goes back
        for twin in self._lanes.twins.pop(message.idempotency_key, ()):
            self._lanes.take(twin)
        if message.key is not None:
            self._lanes.next_of(message.key)
        self._wake(len(self._lanes.ready))

    async def _give_back(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        try:
            await self._source.retry(messages)
        except UNREACHABLE as error:  # it is delivered again when this consumer is missed
            self._link.failed("retry", error)
        self._tally.given_back += len(messages)
        for message in messages:
            self._release(message)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
