"""What a test of raudo, or of a plug-in for it, needs: a clock to turn by hand and contract suites.

Each suite checks one seam against its protocol, most of which are in `raudo.types`; the built-in
parts pass the same suites. They load on first use, so that a test of one seam does not import the
rooms of the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudo.testing.backend import BackendContract
    from raudo.testing.clock import FakeClock
    from raudo.testing.exporter import ExporterContract
    from raudo.testing.index import IndexContract
    from raudo.testing.metric import MetricContract
    from raudo.testing.policy import check_policy, check_strategy
    from raudo.testing.shared_tier import SharedTierContract
    from raudo.testing.sink import FormatContract, SinkContract
    from raudo.testing.source import MessageSourceContract
    from raudo.testing.tier import TierContract

__all__ = [
    "BackendContract",
    "ExporterContract",
    "FakeClock",
    "FormatContract",
    "IndexContract",
    "MessageSourceContract",
    "MetricContract",
    "SharedTierContract",
    "SinkContract",
    "TierContract",
    "check_policy",
    "check_strategy",
]

_HOME_OF = {
    "BackendContract": "backend",
    "ExporterContract": "exporter",
    "FakeClock": "clock",
    "FormatContract": "sink",
    "IndexContract": "index",
    "MessageSourceContract": "source",
    "MetricContract": "metric",
    "SharedTierContract": "shared_tier",
    "SinkContract": "sink",
    "TierContract": "tier",
    "check_policy": "policy",
    "check_strategy": "policy",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"raudo.testing.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'raudo.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
