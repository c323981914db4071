"""Queues for the tests of `AsyncProcessor.consume`."""

from __future__ import annotations

import asyncio

from raudo.concurrency import LocalQueue


def filled(n=0, **options):
    queue = LocalQueue(**options)
    for i in range(n):
        queue.send_nowait(i)
    return queue


async def emptied(queue, within=60):
    async with asyncio.timeout(within):
        while len(queue):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
