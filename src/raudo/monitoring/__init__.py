"""Watches what the rooms count: alerts, snapshots, and exporters to the tools that people use.

It imports no room: a component is anything that offers `samples()` or a dict of statistics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raudo._core.histogram import Histogram
from raudo.monitoring.alerts import Alert
from raudo.monitoring.exporters import create_exporter
from raudo.monitoring.monitor import Monitor
from raudo.monitoring.rules import AlertRule, default_rules

if TYPE_CHECKING:
    from raudo.monitoring.dashboard import DashboardApp, serve
    from raudo.monitoring.remote import Remote

__all__ = [
    "Alert",
    "AlertRule",
    "DashboardApp",
    "Histogram",
    "Monitor",
    "Remote",
    "create_exporter",
    "default_rules",
    "serve",
]

# A service that watches itself and shows no page loads no asyncio for it.
_HOME_OF = {"DashboardApp": "dashboard", "serve": "dashboard", "Remote": "remote"}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"raudo.monitoring.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
