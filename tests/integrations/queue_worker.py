"""A consumer in a process of its own, to be killed: notes on a Redis list what it begins and ends.

python queue_worker.py SETTINGS, as JSON; `queue_faults.worker` makes them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import redis.asyncio

from raudo import AsyncProcessor
from raudo.integrations.redis_streams import RedisSeen, RedisStream


def source_of(settings):
    kind, queue, url = settings["kind"], settings["queue"], settings["url"]
    if kind == "redis":
        return RedisStream(queue, "group", url, **settings["options"])
    from raudo.integrations.kafka import KafkaTopic

    return KafkaTopic(queue, "group", url, **settings["options"])


async def main(settings):
    notes = redis.asyncio.Redis.from_url(settings["redis"])
    source = source_of(settings)
    if not settings["acks"]:

        async def forgotten(messages):
            pass

        source.ack = forgotten

    async def handle(message):
        name = message.body.decode()
        await notes.rpush(settings["notes"], f"begin {name}")
        await asyncio.sleep(settings["pause"])
        await notes.rpush(settings["notes"], f"end {name}")

    seen = RedisSeen(settings["redis"], prefix=settings["seen"])
    async with AsyncProcessor(use_processes=False) as processor:
        consumer = processor.consume(source, handle, 8, window=200, seen=seen)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        await consumer
    await seen.aclose()
    await notes.aclose()


asyncio.run(main(json.loads(sys.argv[1])))
