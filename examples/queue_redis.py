"""Orders from a Redis stream through a handler, once each, in order by customer.

    redis-server --port 6379 &
    python examples/queue_redis.py redis://127.0.0.1:6379/0

Start it twice at the same time, or kill it and start it again: the consumers share the orders, and
the keys of those that are done.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from raudo import AsyncProcessor
from raudo.integrations.redis_streams import RedisSeen, RedisStream
from raudo.types import Message


async def send_orders(orders: RedisStream, n: int) -> None:
    """What a producer does; here it sends each order twice, as one that repeats itself would."""
    for number in range(n):
        for _ in range(2):
            await orders.send(
                f"order {number}",
                key=f"customer {number % 5}",  # order is kept by this
                idempotency_key=f"order-{number}",  # and a duplicate known by this
                maxlen=100_000,
            )


async def bill(message: Message) -> None:
    if message.body == b"order 13":
        raise ValueError("nobody bills order 13")
    await asyncio.sleep(0.001)  # where the work would be


async def main(url: str) -> None:
    orders = RedisStream("example:orders", group="billing", url=url)
    seen = RedisSeen(url, prefix="example:billing:seen", window=86_400)
    await send_orders(orders, 50)
    async with AsyncProcessor() as processor:
        consumer = processor.consume(orders, bill, 16, retries=2, backoff=0.05, seen=seen)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, consumer.stop)  # ends what is begun, gives back the rest
        async with consumer:
            while await orders.lag() != 0:
                await asyncio.sleep(0.05)
        print(await consumer)
        for sample in processor.samples():  # what a Monitor would export
            if sample.name.startswith("raudo_queue_"):
                print(sample.name, sample.value)
    await seen.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0"))
