"""What may go wrong, one function a case: it returns "yes", or in a few words what it saw instead.

A case is run by `cell` in a process of its own, which is watched: a case that hangs, or leaves
processes behind, needs not find that out itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from behaviour.tools import TOOLS, Tool, take
from concurrency import tasks
from raudo import AsyncProcessor, BatchProcessor
from raudo.errors import QueueFull

__all__ = ["CASES", "OURS_ONLY", "Case"]

Make = Callable[[], Tool]
Case = Callable[[Make, str], str]
BAD = 5


def _at_bad(fn: Callable[[], Any], x: int) -> int:
    if x == BAD:
        fn()
    return x * x


def exit_at_bad(x: int) -> int:
    return _at_bad(lambda: os._exit(3), x)


def segfault_at_bad(x: int) -> int:
    return _at_bad(tasks.segfault, x)


def kill_at_bad(x: int) -> int:
    return _at_bad(tasks.kill_self, x)


def spin_at_bad(x: int) -> int:
    return _at_bad(tasks.spin, x)


def odd_at_bad(x: int) -> int:
    return _at_bad(tasks.raise_odd, x)


def locked_at_bad(x: int) -> int:
    return _at_bad(tasks.raise_unpicklable, x)


def lock_at_bad(x: int) -> Any:
    return threading.Lock() if x == BAD else x * x


def echo_squared(x: Any) -> Any:
    return x * x if isinstance(x, int) else None


def nested(x: int) -> int:
    """Use the same tool in a worker; its name is in the environment, as it is inherited."""
    _, make = TOOLS[os.environ["BEHAVIOUR_TOOL"]]
    tool = make()
    try:
        return sum(tool.outcomes(tasks.square, range(x)))
    finally:
        tool.close()


def _alone(outcomes: list[Any], n: int = 10) -> str:
    """Say whether item `BAD` failed, and no other."""
    lost = [x for x in range(n) if x != BAD and outcomes[x] != x * x]
    if lost:
        return f"{len(lost)} of {n - 1} others fail"
    return "yes" if isinstance(outcomes[BAD], Exception) else "the error is lost"


def _fails_alone(fn: Callable[[Any], Any], names: tuple[str, ...] = ()) -> Case:
    """Make a case: one bad item among ten; the others get results, and the pool goes on."""

    def case(make: Make, _: str) -> str:
        tool = make()
        outcomes = tool.outcomes(fn, range(10))
        verdict = _alone(outcomes)
        if verdict != "yes":
            return verdict  # whatever closing the pool would do now
        if names and type(outcomes[BAD]).__name__ not in names:
            return f"arrives as {type(outcomes[BAD]).__name__}"
        if tool.outcomes(tasks.square, [3]) != [9]:
            return "the pool is broken"
        tool.close()
        return verdict

    return case


def spinning_task_is_stopped(make: Make, _: str) -> str:
    tool = make()
    begun = time.monotonic()
    outcomes = tool.outcomes(spin_at_bad, range(10), timeout=1.0)
    seconds = time.monotonic() - begun
    verdict = _alone(outcomes)
    if verdict == "yes" and seconds > 5:
        verdict = f"after {seconds:.0f} s"
    tool.close()
    return verdict


def argument_does_not_pickle(make: Make, _: str) -> str:
    tool = make()
    items: list[Any] = [threading.Lock() if x == BAD else x for x in range(10)]
    verdict = _alone(tool.outcomes(echo_squared, items))
    tool.close()
    return verdict


def lambda_runs(make: Make, _: str) -> str:
    tool = make()
    outcomes = tool.outcomes(lambda x: x + 1, range(10))
    tool.close()
    return "yes" if outcomes == list(range(1, 11)) else f"{type(outcomes[0]).__name__}"


def nested_use(make: Make, _: str) -> str:
    tool = make()
    outcomes = tool.outcomes(nested, [3, 4])
    tool.close()
    return "yes" if outcomes == [5, 14] else f"{type(outcomes[0]).__name__}"


def endless_input(make: Make, _: str) -> str:
    tool = make()
    found = tool.lazily(tasks.square, _watched(itertools.count()))
    verdict = "yes" if take(10, found) == [x * x for x in range(10)] else "wrong results"
    close = getattr(found, "close", None)
    if close is not None:
        close()
    tool.close()
    return verdict


def _watched(numbers: Any) -> Any:
    for x in numbers:
        if x >= 1_000_000:
            raise SystemExit("read a million items ahead")
        yield x


_INTERRUPTED = """
import contextlib
import sys
from behaviour.tools import TOOLS
from concurrency import tasks

if __name__ == "__main__":
    tool = TOOLS[sys.argv[1]][1]()
    tool.outcomes(tasks.square, range(4))
    print("ready", flush=True)
    with getattr(tool, "pool", contextlib.nullcontext()):
        tool.outcomes(tasks.sleep_long, range(4))
"""


def ctrl_c_ends_it(_: Make, name: str) -> str:
    """Press Ctrl-C, which every process of the terminal gets."""
    program = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    assert program.stdout is not None
    try:
        program.stdout.readline()
        time.sleep(0.5)
        os.killpg(program.pid, signal.SIGINT)
        try:
            program.wait(5)
        except subprocess.TimeoutExpired:
            return "goes on"
        time.sleep(0.3)
        try:
            os.killpg(program.pid, 0)
        except ProcessLookupError:
            return "yes"
        return "leaves processes"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def fork_while_threads_run(make: Make, _: str) -> str:
    """Fork with a pool in use; the child ends at once, or uses a pool of its own."""
    tool = make()
    tool.outcomes(tasks.square, range(4))
    pid = os.fork()
    if pid == 0:
        own = make()
        code = 0 if own.outcomes(tasks.square, range(4)) == [0, 1, 4, 9] else 1
        own.close()
        os._exit(code)
    until = time.monotonic() + 8
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return "the child hangs"
    goes_on = tool.outcomes(tasks.square, range(4)) == [0, 1, 4, 9]
    tool.close()
    if status:
        return "the child fails"
    return "yes" if goes_on else "the parent's pool is broken"


def start_and_stop(make: Make, _: str) -> str:
    """Start and stop again and again: `BEHAVIOUR_CYCLES` times, 50 by default."""
    n_cycles = int(os.environ.get("BEHAVIOUR_CYCLES", "50"))

    def cycle() -> None:
        tool = make()
        tool.outcomes(tasks.square, range(2))
        tool.close()

    def held() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    for _i in range(5):
        cycle()
    before = held()
    for _i in range(n_cycles):
        cycle()
    after = held()
    n_more = [late - early for early, late in zip(before, after, strict=True)]
    if n_more[0] > 5 or n_more[1] > 2:
        return f"{n_more[0]} descriptors, {n_more[1]} threads leak"
    return "yes"


def full_queue_refuses(_: Make, __: str) -> str:
    """Submit more than may wait; what does not fit is refused or dropped, as was asked for."""

    async def main(on_full: Any) -> tuple[int, int]:
        release = asyncio.Event()
        processor = AsyncProcessor(2, queue_size=10, on_full=on_full)
        futures, n_refused = [], 0
        for _i in range(30):
            try:
                futures.append(await processor.submit(release.wait))
            except QueueFull:
                n_refused += 1
            await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*futures, return_exceptions=True)
        await processor.stop()
        n_refused += sum(isinstance(each, QueueFull) for each in results)
        return n_refused, sum(each is True for each in results)

    for on_full in ("raise", "drop_oldest"):
        n_refused, n_done = asyncio.run(main(on_full))
        if n_refused + n_done != 30 or not 18 <= n_refused <= 20:
            return f"{on_full}: {n_refused} refused, {n_done} done"
    return "yes"


def loop_closes_while_tasks_run(_: Make, __: str) -> str:
    """End the loop with coroutines, threads, processes and a batch at work; use another after."""
    processor = AsyncProcessor(4)
    batch = BatchProcessor(8, handler=_sleep_on)

    async def main() -> None:
        for fn, kind in ((asyncio.sleep, "async"), (time.sleep, "thread"), (time.sleep, "process")):
            await processor.submit(fn, 3.0, kind=kind)
        waiting = asyncio.ensure_future(batch.submit(1))
        await asyncio.sleep(0.2)
        del waiting

    begun = time.monotonic()
    asyncio.run(main())
    if time.monotonic() - begun > 2:
        return f"waits {time.monotonic() - begun:.0f} s"

    async def again() -> list[Any]:
        found = await processor.process_batch([(tasks.square, (x,)) for x in range(4)])
        await processor.stop()
        return found

    if asyncio.run(again()) != [0, 1, 4, 9]:
        return "wrong results after it"
    stats = processor.get_stats()
    n_ended = stats["processed_tasks"] + stats["cancelled"]
    return "yes" if stats["submitted_tasks"] == n_ended else f"counts do not add up: {stats}"


async def _sleep_on(items: list[Any]) -> list[Any]:
    await asyncio.sleep(60)
    return items


CASES: dict[str, tuple[str, Case]] = {
    "exit": ("a worker exits: its task fails alone", _fails_alone(exit_at_bad)),
    "segfault": ("a worker segfaults: the same", _fails_alone(segfault_at_bad)),
    "kill": ("a worker gets SIGKILL: the same", _fails_alone(kill_at_bad)),
    "timeout": ("a spinning task is stopped at its timeout", spinning_task_is_stopped),
    "result": ("a result does not pickle: it fails alone", _fails_alone(lock_at_bad)),
    "argument": ("an argument does not pickle: it fails alone", argument_does_not_pickle),
    "odd": (
        "an exception with an `__init__` of its own arrives",
        _fails_alone(odd_at_bad, ("OddInit", "RemoteError")),
    ),
    "locked": (
        "an exception that does not pickle arrives",
        _fails_alone(locked_at_bad, ("HoldsLock", "RemoteError")),
    ),
    "lambda": ("a lambda runs", lambda_runs),
    "nested": ("it works inside its own workers", nested_use),
    "endless": ("endless input is read lazily", endless_input),
    "interrupt": ("Ctrl-C ends it all within 5 s", ctrl_c_ends_it),
    "fork": ("a fork of the program is no harm", fork_while_threads_run),
    "cycles": ("starting and stopping leaks nothing", start_and_stop),
}
OURS_ONLY = {
    "queue": ("a full queue refuses or drops, as it is told", full_queue_refuses),
    "loop": ("the loop is closed while tasks run", loop_closes_while_tasks_run),
}
"""Of what the others do not offer."""
