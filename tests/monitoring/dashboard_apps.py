"""The page's app and requests to it, for the tests."""

from __future__ import annotations

import asyncio

from raudo.monitoring import DashboardApp, Monitor


def watching(*components, **options):
    """Make a monitor that keeps what it watches alive."""
    monitor = Monitor(*components, **{"process": False, **options})
    monitor.kept = components
    return monitor


async def ask(app, path="/", *, method="GET", query=b"", root="", **headers):
    """Send one request through ASGI; return status, headers and body."""
    sent = []
    is_over = asyncio.Event()

    async def receive():
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root,
        "query_string": query,
        "headers": named,
    }
    await app(scope, receive, send)
    start, *rest = sent
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in rest)


def app_of(monitor, **options):
    return DashboardApp(monitor, **{"token": None, **options})
