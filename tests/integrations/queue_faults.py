"""What queues of several processes are put through, whatever the server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from raudo import AsyncProcessor

WORKER = Path(__file__).parent / "queue_worker.py"


class Notes:
    """What worker processes wrote down, on a Redis server that stays."""

    def __init__(self, url, queue):
        self.url, self.queue = url, queue
        self.name, self.seen = f"notes:{queue}", f"seen:{queue}"
        self._client = redis.Redis.from_url(url)

    def count(self, what):
        return Counter(
            name
            for kind, name in (
                each.decode().split() for each in self._client.lrange(self.name, 0, -1)
            )
            if kind == what
        )

    def remembered(self):
        """Return how many keys are known to all."""
        return len(self._client.keys(f"{{{self.seen}}}:*"))

    def wait(self, until, seconds=60):
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, (len(self.count("begin")), len(self.count("end")))
            time.sleep(0.02)

    def close(self):
        self._client.close()


@contextmanager
def worker(notes, kind, url, queue, *, acks=True, pause=0.002, **options):
    """Run a consumer process; it is killed at the end of the block, if it has not ended."""
    settings = {
        "kind": kind,
        "url": url,
        "queue": queue,
        "redis": notes.url,
        "notes": notes.name,
        "seen": notes.seen,
        "options": options,
        "acks": acks,
        "pause": pause,
    }
    process = subprocess.Popen([sys.executable, str(WORKER), json.dumps(settings)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def kill_9(notes_of, n, begin):
    """Put consumers through both kinds of kill at once, on the queues "mid" and "known".

    `begin(notes, acks)` runs a worker on the queue of the notes' name.
    """
    with ThreadPoolExecutor(2) as threads:
        done = []
        for name, fault in (("mid", kill_in_mid_work), ("known", redelivered_all_but_known)):
            notes = notes_of(name)
            done.append(threads.submit(fault, notes, n, partial(begin, notes)))
        for each in done:
            each.result()


def kill_in_mid_work(notes, n, begin):
    """Kill a consumer, start another: nothing is lost, and what was remembered is not done again.

    `begin(acks=)` runs a worker.
    """
    with begin(acks=True):
        notes.wait(lambda: len(notes.count("end")) >= n // 3)
    begun, ended = notes.count("begin"), notes.count("end")
    assert 0 < len(begun) < n
    with begin(acks=True) as process:
        notes.wait(lambda: len(notes.count("end")) == n)
        process.terminate()
        assert process.wait(20) == 0
    begun_after, ended_after = notes.count("begin"), notes.count("end")
    assert len(ended_after) == n, "lost"
    again = {name for name, times in begun_after.items() if times > 1}
    # In the handler at the kill: 8 at most. Ended but not remembered: a batch on its way.
    assert again <= set(begun)
    assert len(again) <= 8 + 30, "more was done again than was in hand"
    assert max(begun_after.values()) <= 2
    assert all(times <= 2 for times in ended_after.values()), ended


def redelivered_all_but_known(notes, n, begin):
    """Kill a consumer that never acknowledged: all is delivered again, what is known not done."""
    with begin(acks=False):
        notes.wait(lambda: notes.remembered() >= n // 3)
    known, ended = notes.remembered(), len(notes.count("end"))
    with begin(acks=True) as process:
        notes.wait(lambda: len(notes.count("end")) == n and notes.remembered() == n)
        process.terminate()
        assert process.wait(20) == 0
    twice = [name for name, times in notes.count("end").items() if times > 1]
    assert len(twice) <= ended - known


async def grow_and_shrink(make, send, n, joined=lambda: True):
    """Go from one consumer to two and back, under load; return (consumer, key, number) as handled.

    `make()` is another consumer of the group, `send(first, last)` sends a range, number i with key
    i % 10; `joined()` says whether all that were made have their share.
    """
    handled = []

    def handler(who):
        async def handle(message):
            await asyncio.sleep(0.002)
            handled.append((who, int(message.key), int(message.body)))

        return handle

    def by(who):
        return sum(1 for each in handled if each[0] == who)

    third = n // 3
    async with AsyncProcessor(use_processes=False) as processor:
        first = processor.consume(make(), handler("first"), 8, window=64)
        async with first:
            await send(0, third)
            await until(lambda: by("first") > third // 3)
            async with processor.consume(make(), handler("second"), 8, window=64):
                await until(lambda: by("first") + by("second") >= third)
                await until(joined)
                await send(third, 2 * third)
                await until(lambda: len({each[2] for each in handled}) >= 2 * third)
                assert by("second") > 0
                await send(2 * third, 2 * third + third // 2)
                await until(lambda: len({each[2] for each in handled}) >= 2 * third + 5)
            await send(2 * third + third // 2, n)
            await until(lambda: len({each[2] for each in handled}) == n)
    return handled
