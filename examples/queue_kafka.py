"""Orders from a Kafka topic through a handler, in order by customer for the whole group.

    python examples/queue_kafka.py 127.0.0.1:9092

The topics `example-orders` and `example-orders.dead` must exist, or the broker make them on use.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from raudo import AsyncProcessor
from raudo.integrations.kafka import KafkaTopic
from raudo.types import Message


async def bill(message: Message) -> None:
    if message.body == b"order 13":
        raise ValueError("nobody bills order 13")
    await asyncio.sleep(0.001)  # where the work would be


async def main(servers: str, **options: Any) -> None:
    """`options` are further settings of aiokafka's consumer."""
    orders = KafkaTopic("example-orders", "billing", servers, **options)
    numbers = [*range(50), *range(50)]  # each twice, as a producer that repeats itself would
    await orders.send_many(
        (f"order {number}", f"customer {number % 5}", f"order-{number}") for number in numbers
    )
    async with AsyncProcessor() as processor:
        consumer = processor.consume(orders, bill, 16, retries=2, backoff=0.05)
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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9092"))
