"""A Grafana dashboard over what Prometheus scrapes: built by `build`, shipped as JSON."""

from __future__ import annotations

import importlib.resources

__all__ = ["dashboard_json"]


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it: Dashboards, New, Import; or by provisioning."""
    return importlib.resources.files(__package__).joinpath("raudo.json").read_text("utf-8")
