"""A real browser for the tests of pages: Debian's Chromium, driven through playwright.

    from browser import browser  # a fixture of the module

    def test_page(browser):
        with open_page(browser, url) as page:  # what it logs as an error fails the test
            ...

Only tests without an event loop may stand in such a module: playwright runs one of its own in this
thread while the browser is open.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

__all__ = ["browser", "open_page", "until"]

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
]


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and the gate is to run this")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, started once a module; skipped where it or playwright is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        _missing("chromium is not installed (apt install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        # A sanitizer that is preloaded for our modules is not for the browser.
        inherited = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        started = playwright.chromium.launch(executable_path=chromium, args=_FLAGS, env=inherited)
        yield started
        started.close()


@contextmanager
def open_page(
    browser: Any, url: str, *, expect: tuple[str, ...] = (), **context: Any
) -> Iterator[Any]:
    """Open a page in a fresh profile; fail if it logs an error or asks another host for anything.

    Troubles that have one of the texts of `expect` are let pass. `context` is what
    playwright's `new_context` takes: `viewport`, `color_scheme`, ...
    """
    profile = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    page = profile.new_page()
    page.set_default_timeout(10_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            message.type in ("error", "warning")
            and troubles.append(f"{message.type}: {message.text}")
        ),
    )
    own = urlsplit(url).netloc
    page.on(
        "request",
        lambda request: (
            urlsplit(request.url).netloc not in ("", own)
            and troubles.append(f"asks for {request.url}")
        ),
    )
    try:
        page.goto(url)
        yield page
        assert [each for each in troubles if not any(text in each for text in expect)] == []
    finally:
        profile.close()


def until(page: Any, expression: str) -> None:
    """Wait until JavaScript says yes; unlike `wait_for_function` it is no `eval` to the page."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"it never came true: {expression}"
        page.wait_for_timeout(25)
