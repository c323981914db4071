"""A web service that answers from a cache of three levels, and shows how it is doing.

    pip install fastapi uvicorn
    uvicorn --app-dir examples service_fastapi:app

Then ask http://127.0.0.1:8000/reports/7 some times, and look at http://127.0.0.1:8000/live/ or at
`raudo top http://127.0.0.1:8000/live/metrics`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from raudo import SmartCache
from raudo.monitoring import DashboardApp, Monitor

# A folder of its own for each worker process, or a level that they share: docs/growth.md
reports = SmartCache(max_size=10_000, default_ttl=600, name="reports", max_loads=8)
monitor = Monitor(reports)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with monitor:
        async with reports:
            yield


app = FastAPI(lifespan=lifespan)
app.mount("/live", DashboardApp(monitor, token=None))  # None: whoever reaches the port may look


async def build(number: int) -> dict[str, Any]:
    await asyncio.sleep(0.05)  # where the work would be
    return {"number": number, "pages": number % 7}


@app.get("/reports/{number}")
async def report(number: int) -> dict[str, Any]:
    # Of all who ask at once one builds; when its time is up, the old one serves meanwhile.
    found: dict[str, Any] = await reports.get_or_load(number, build, stale=60)
    return found


@app.delete("/reports/{number}")
async def forget(number: int) -> dict[str, bool]:
    return {"was there": await reports.delete(number)}
