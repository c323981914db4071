"""The monitor: reads components at an interval, judges the rules, feeds exporters and faces."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Self

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._ticker import Ticker
from raudo.events import AlertChanged, emit
from raudo.monitoring.alerts import Alert, Alerts
from raudo.monitoring.collector import Collected, Collector
from raudo.monitoring.durations import (
    RECENT_S,
    Recent,
    as_dict,
    parts_of,
    quantiles_of,
    totals_of,
)
from raudo.monitoring.exporters import create_exporter
from raudo.monitoring.history import History
from raudo.monitoring.key_metrics import judge_key_metrics
from raudo.monitoring.rules import AlertRule, default_rules
from raudo.monitoring.sending import Sender
from raudo.monitoring.series import Key, series_name, spelled
from raudo.types import Exporter, Sample

__all__ = ["Monitor"]

_log = logging.getLogger("raudo.monitoring")
_EXPORT_TIMEOUT_S = 5.0

Listener = Callable[[dict[str, Any]], object]
OnAlert = Callable[[Alert], object]


class Monitor:
    """Watches components: their samples, the alerts that these raise, and where they are sent.

    Args:
        components: Objects with `samples()` (every room's have it), or with `get_stats()`,
            `stats()` or `cache_info()`; or event loops, whose lag is measured. They are held
            weakly: watching keeps nothing alive, so `Monitor(SmartCache())` watches nothing for
            long.
        interval: Seconds between two checks of a started monitor.
        rules: What raises alerts; `default_rules()` when None.
        on_alert: Called with an `Alert` when one begins and, `active` false, when it ends; or
            several such. In the thread that checks, so it must not block: `notify.Webhook` and
            `notify.Background` do not. An `events.AlertChanged` is emitted as well.
        exporters: Get the samples of each check; the monitor closes them with itself. Objects that
            follow `raudo.types.Exporter`, or names that `create_exporter` knows.
        process: Add samples of the process itself; a component's own win over them.
        hot_keys: Have the caches that can do it note which keys are asked for most.
        read_timeout: Seconds after which a component that is being read is left alone until it
            comes back.
        max_series: How many series are kept for an hour, 5.3 KB each.
        clock: Where time comes from.

    A component or exporter that raises or hangs is logged when it begins to, counted, and asked
    again at the next check; the others go on. Two components that give the same series are told
    apart by a label `instance`. Thread-safe; its threads are daemons and end with the monitor. In a
    forked child it is not running until it is started.

    >>> monitor = Monitor(rules=[AlertRule("any memory", "raudo_memory_used_bytes", above=0)])
    >>> [alert.rule for alert in monitor.check()]
    ['any memory']
    """

    def __init__(
        self,
        *components: object,
        interval: float = 1.0,
        rules: Iterable[AlertRule] | None = None,
        on_alert: OnAlert | Sequence[OnAlert] | None = None,
        exporters: Iterable[Exporter | str] = (),
        process: bool = True,
        hot_keys: bool = False,
        read_timeout: float = 1.0,
        max_series: int = 1000,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.interval = _positive("interval", interval)
        self._on_alert = _callables(on_alert)
        self._clock = clock
        self._collector = Collector(process, _positive("read_timeout", read_timeout))
        self._sender = Sender(_EXPORT_TIMEOUT_S)
        self._has_hot_keys = hot_keys
        self._check_lock = threading.RLock()  # one check at a time; taken before the other
        self._lock = threading.RLock()  # guards the state below; never held while others are called
        self._alerts = Alerts(default_rules() if rules is None else rules, clock)
        if isinstance(max_series, bool) or not isinstance(max_series, int):
            raise TypeError(f"max_series is {max_series!r}, wanted a whole number")
        self._history = History(max_series)
        self._recent = Recent()
        self._listeners: tuple[Listener, ...] = ()
        self._check_seconds = 0.0
        for component in components:
            self.watch(component)
        if isinstance(exporters, str) or not isinstance(exporters, Iterable):
            raise TypeError(f"exporters is {exporters!r}, wanted a list of names or exporters")
        for exporter in exporters:
            self.export_to(exporter)
        self._ticker = Ticker(self._tick, interval, "raudo-monitor")

    # --- what is watched ----------------------------------------------------------------------

    def watch(self, component: object) -> None:
        """Watch one more component; again is once."""
        self._collector.watch(component)
        follow = getattr(component, "follow_hot_keys", None)
        if self._has_hot_keys and follow is not None:
            follow()

    def unwatch(self, component: object) -> None:
        """Watch it no longer; its alerts end at the next check."""
        self._collector.unwatch(component)

    def export_to(self, exporter: Exporter | str, **options: Any) -> Exporter:
        """Send the samples of each check there too; return the exporter.

        A name makes one of that kind: `monitor.export_to("statsd", host="127.0.0.1")`.
        """
        if isinstance(exporter, str):
            exporter = create_exporter(exporter, **options)
        elif options:
            raise TypeError(f"options are {options!r}, wanted none with an exporter object")
        elif not callable(getattr(exporter, "export", None)):
            raise TypeError(f"exporter is {exporter!r}, wanted a name or an object with export()")
        self._sender.add(exporter)
        return exporter

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with the snapshot of each check, in the thread that checks.

        Return a function that ends it. What the listener raises is logged. It must not block.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return unsubscribe

    # --- rules --------------------------------------------------------------------------------

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """What raises alerts. Rules that stay the same keep their alerts when it is set."""
        return self._alerts.rules

    @rules.setter
    def rules(self, rules: Iterable[AlertRule]) -> None:
        with self._lock:
            self._alerts.set_rules(rules)

    def silence(self, rule: str, seconds: float, **labels: str) -> None:
        """Tell nobody of this rule's alerts for a while; `"*"` are all rules.

        Of those that have these labels. They are still shown, as silenced; the beginning of one
        that lasts longer than the silence is told after it. The end of one that was told before is
        told.
        """
        with self._lock:
            self._alerts.silence(rule, _positive("seconds", seconds), labels)

    def unsilence(self, rule: str) -> None:
        """End the silences of this rule."""
        with self._lock:
            self._alerts.unsilence(rule)

    # --- looking ------------------------------------------------------------------------------

    def collect(self) -> tuple[Sample, ...]:
        """Read every component now; each series appears once, those of histograms too."""
        return self._with_durations(self._read(), has_parts=True)

    def check(self) -> list[Alert]:
        """Read, judge and export once; return the alerts that are on.

        What a started monitor does at each interval.
        """
        began = perf_counter()
        with self._check_lock:
            collected = self._read()
            now = self._clock.monotonic()
            with self._lock:
                self._recent.note(now, collected.distributions)
                samples = self._with_durations(collected)
                self._history.add(now, samples)
                notices = self._alerts.judge(
                    samples,
                    lambda key, value, seconds: self._history.increase(key, value, now, seconds),
                    complete=collected.is_complete,
                )
                active = self._alerts.active()
                listeners = self._listeners
            if len(self._sender):
                self._sender.send(self._with_durations(collected, has_parts=True))
            self._check_seconds = perf_counter() - began
        # Outside the locks: listeners may call back, from other threads too.
        for alert in notices:
            emit(AlertChanged(alert.rule, alert.metric, alert.value, alert.active, alert.labels))
            for call in self._on_alert:
                _safely("on_alert", call, alert)
        if listeners:
            snapshot = self._snapshot(collected)
            for listener in listeners:
                _safely("a listener", listener, snapshot)
        return active

    def active_alerts(self) -> list[Alert]:
        """Return the alerts that were on at the last check, the oldest first."""
        with self._lock:
            return self._alerts.active()

    def alert_history(self) -> list[Alert]:
        """Return the last 200 beginnings and ends of alerts, the newest first."""
        with self._lock:
            return self._alerts.history()

    def snapshot(self) -> dict[str, Any]:
        """Read everything now; return plain data for a page, a log or a test.

        `time` is seconds since 1970, `metrics` the values by series (spelled as Prometheus does:
        `raudo_cache_hits_total{cache="users"}`), `alerts` those on at the last check, `key_metrics`
        the five figures beside their targets, `histograms` quantiles in seconds by series.
        """
        return self._snapshot(self._read())

    def series(self, *names: str, seconds: float = 3600.0, points: int = 360) -> dict[str, Any]:
        """Return what checks found in the last `seconds`, an hour at most, the oldest first.

        `{"times": [...], "values": {series: [value or None, ...]}}`, of at most `points` each;
        times are seconds since 1970. `names` are metrics or whole series; all when there are none.
        """
        return self._read_history(names, seconds, points, as_rates=False)

    def rates(self, *names: str, seconds: float = 3600.0, points: int = 360) -> dict[str, Any]:
        """Return the same as `series`, counters as their increase per second."""
        return self._read_history(names, seconds, points, as_rates=True)

    def hot_keys(self, n: int = 10) -> list[dict[str, Any]]:
        """Return the keys that are asked for most, with about their share of a cache's lookups.

        `{"cache", "key", "share"}` each; `key` is its `repr`. Of a monitor made with `hot_keys`.
        """
        found = []
        for target in self._collector.targets() if self._has_hot_keys else ():
            if callable(getattr(target, "hot_keys", None)):
                name = str(getattr(target, "name", ""))
                for key, share in target.hot_keys(n):
                    found.append({"cache": name, "key": repr(key), "share": share})
        return sorted(found, key=lambda each: -each["share"])[:n]

    def _read(self) -> Collected:
        seconds = Sample(
            "raudo_monitor_check_seconds",
            "gauge",
            self._check_seconds,
            help="What the last check took.",
        )
        return self._collector.collect((seconds, *self._sender.samples()))

    def _with_durations(
        self, collected: Collected, *, has_parts: bool = False
    ) -> tuple[Sample, ...]:
        """Add the quantiles, and the histograms' sums and counts or all of their parts."""
        now = self._clock.monotonic()
        found = list(collected.samples)
        with self._lock:
            for each in collected.distributions:
                found += quantiles_of(each, self._recent.of(each, now))
                found += parts_of(each) if has_parts else totals_of(each)
        return tuple(found)

    def _snapshot(self, collected: Collected) -> dict[str, Any]:
        now = self._clock.monotonic()
        samples = self._with_durations(collected)
        with self._lock:
            history = self._history

            def increase(key: Key, value: float) -> float:
                return history.increase(key, value, now, RECENT_S)

            def gained(key: Key, value: float) -> float:
                return history.gained(key, value, now, RECENT_S)

            watched_s = min(RECENT_S, history.age(now)) or self.interval
            return {
                "time": self._clock.time_ns() / 1e9,
                "metrics": {series_name(sample): sample.value for sample in samples},
                "alerts": [_plain(alert) for alert in self._alerts.active()],
                "key_metrics": judge_key_metrics(samples, increase, gained, watched_s),
                "histograms": dict(
                    as_dict(each, self._recent.of(each, now)) for each in collected.distributions
                ),
            }

    def _read_history(
        self, names: Sequence[str], seconds: float, points: int, *, as_rates: bool
    ) -> dict[str, Any]:
        if points < 1:
            raise ValueError(f"points is {points!r}, wanted a number >= 1")
        wanted = set(names)

        def is_wanted(key: Key) -> bool:
            return not wanted or key[0] in wanted or spelled(*key) in wanted

        with self._lock:
            now = self._clock.monotonic()
            times, values = self._history.read(now, seconds, points, is_wanted, as_rates=as_rates)
        offset = self._clock.time_ns() / 1e9 - now  # times are of the wall clock as it is now
        return {
            "times": [time + offset for time in times],
            "values": {spelled(*key): each for key, each in values.items()},
        }

    # --- running ------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a thread checks at the interval."""
        return self._ticker.is_running

    def start(self) -> Self:
        """Check at the interval, from a thread of its own; return itself.

        Called where an event loop runs, its lag is watched too.
        """
        with contextlib.suppress(RuntimeError):
            self.watch(asyncio.get_running_loop())
        self._ticker.start()
        return self

    def stop(self) -> None:
        """End the thread; `start` and `check` still work."""
        self._ticker.stop()

    def close(self) -> None:
        """Stop, export a last time so that the final counts arrive, and close the exporters."""
        self.stop()
        if len(self._sender):
            self.check()
        self._sender.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tick(self) -> None:
        self.check()

    def _after_fork_in_child(self) -> None:
        self._check_lock, self._lock = threading.RLock(), threading.RLock()
        self._collector.after_fork()
        self._sender.after_fork()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<Monitor {state}, {len(self._collector)} components>"


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}, wanted a number")
    if not value > 0:
        raise ValueError(f"{name} is {value!r}, wanted a number > 0")
    return value


def _callables(on_alert: OnAlert | Sequence[OnAlert] | None) -> tuple[OnAlert, ...]:
    if on_alert is None:
        return ()
    calls = tuple(on_alert) if isinstance(on_alert, (list, tuple)) else (on_alert,)
    for call in calls:
        if not callable(call):
            raise TypeError(f"on_alert is {on_alert!r}, wanted None or callables of one alert")
    return calls


def _safely(what: str, call: Callable[[Any], object], argument: Any) -> None:
    try:
        call(argument)
    except Exception:
        _log.exception("%s failed: %r", what, call)


def _plain(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "metric": alert.metric,
        "labels": dict(alert.labels),
        "value": alert.value,
        "bound": alert.bound,
        "since": alert.since_ns / 1e9,
        "active": alert.active,
        "silenced": alert.silenced,
        "severity": alert.severity,
        "summary": alert.summary,
    }
