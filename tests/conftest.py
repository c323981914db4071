"""What all rooms' tests share: the profiles of Hypothesis, Ctrl-C, and short collections."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# `deep` is for a long run by hand: HYPOTHESIS_PROFILE=deep make test
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("default"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure() -> None:
    """Let the programs that tests start be interrupted, also where these run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shorten the random programs where sanitizers make each step ten times slower."""
    if "RAUDO_SANITIZED" not in os.environ:
        return
    for case in {item.cls for item in items if isinstance(item, pytest.Function) and item.cls}:
        if isinstance(getattr(case, "settings", None), settings):
            case.settings = settings(case.settings, max_examples=30)


@pytest.fixture(autouse=True)
def _collector() -> None:
    """Keep the collector away from the million objects that the collected tests are.

    Many tests collect; each time these were looked at took a tenth of a second, a third of all.
    """
    if len(gc.get_objects()) > 200_000:  # at first, and once a test has thawed them
        gc.collect()
        gc.freeze()
