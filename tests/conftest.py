"""What all rooms' tests share: the profiles of Hypothesis, and Ctrl-C."""

from __future__ import annotations

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
