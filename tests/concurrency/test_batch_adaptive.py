"""`BatchProcessor` that sizes its batches by what they cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import BatchProcessor

pytestmark = pytest.mark.timeout(60)


def adaptive_run(
    overhead_s: float, per_item_s: float, clients: int, **settings: Any
) -> tuple[dict[str, Any], float]:
    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(overhead_s + per_item_s * len(items))
        return items

    async def main() -> tuple[dict[str, Any], float]:
        batch = BatchProcessor(1000, 2.0, handle, adaptive=True, max_concurrent=1, **settings)

        async def client(i: int) -> None:
            for _ in range(60):
                await batch.submit(i)

        begun = now()
        await asyncio.gather(*map(client, range(clients)))
        return batch.get_stats(), now() - begun

    result: tuple[dict[str, Any], float] = run_virtual(main())
    return result


def test_adaptive_learns_what_batches_cost() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300)
    assert stats["cost"]["overhead_s"] == pytest.approx(0.010, rel=0.05)
    assert stats["cost"]["per_item_s"] == pytest.approx(0.001, rel=0.05)


def test_adaptive_aims_for_nine_tenths_of_the_throughput() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300)
    assert stats["target_batch_size"] == pytest.approx(90, abs=5)


def test_adaptive_keeps_to_the_latency_goal() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300, latency_goal=0.05)
    assert stats["target_batch_size"] == pytest.approx(40, abs=3)


def test_adaptive_takes_all_where_items_cost_nothing() -> None:
    stats, _ = adaptive_run(0.010, 0.0, 300)
    assert stats["target_batch_size"] >= 300


def test_adaptive_follows_a_handler_that_changes() -> None:
    cost = [0.001, 0.001]

    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(cost[0] + cost[1] * len(items))
        return items

    async def main() -> None:
        batch = BatchProcessor(500, 2.0, handle, adaptive=True, max_concurrent=1)

        async def clients() -> None:
            async def client(i: int) -> None:
                for _ in range(30):
                    await batch.submit(i)

            await asyncio.gather(*map(client, range(200)))

        await clients()
        assert batch.get_stats()["target_batch_size"] == pytest.approx(9, abs=2)
        cost[0] = 0.01
        await clients()
        await clients()
        assert batch.get_stats()["target_batch_size"] > 60

    run_virtual(main())
