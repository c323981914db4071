"""Watches what the rooms count: alerts, snapshots, and exporters to the tools that people use.

It imports no room: a component is anything that offers `samples()` or a dict of statistics.
"""

from raudo.monitoring.alerts import Alert
from raudo.monitoring.exporters import create_exporter
from raudo.monitoring.monitor import Monitor
from raudo.monitoring.rules import AlertRule, default_rules

__all__ = ["Alert", "AlertRule", "Monitor", "create_exporter", "default_rules"]
