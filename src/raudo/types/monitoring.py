"""What rooms give the monitor, and what the monitor gives an exporter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from raudo._core.histogram import Histogram


class Sample(NamedTuple):
    """One measurement, named as Prometheus would (`raudo_cache_hits_total`).

    A `"histogram"` is a part of one, spelled as there: `_bucket` with a label `le` (how many were
    at most that), `_sum` and `_count`; all of them only grow. Components give `Distribution`s
    instead, of which the monitor makes these.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    help: str = ""


class Distribution(NamedTuple):
    """How long something took, each time: `raudo_task_duration_seconds` of one processor.

    `histogram` is the component's own or a copy; whoever gets it must not change it.
    """

    name: str
    histogram: Histogram
    labels: tuple[tuple[str, str], ...] = ()
    help: str = ""


class Sampled(Protocol):
    """What a `Monitor` can watch: `samples` is pulled, cheap and thread-safe.

    A component may also have `histograms() -> Iterable[Distribution]`, of the same virtues, and
    `hot_keys(n) -> list[tuple[Any, float]]`.
    """

    def samples(self) -> Iterable[Sample]: ...


class Exporter(Protocol):
    """Sends samples somewhere. `export` gets one coherent snapshot at a time."""

    name: ClassVar[str]

    def export(self, samples: Sequence[Sample]) -> None:
        """Send one snapshot. What it raises is counted by the monitor, which goes on."""
        ...

    def close(self) -> None:
        """Send what waits and let go; a second call does nothing."""
        ...
