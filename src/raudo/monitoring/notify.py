"""Delivers alerts: to a log, to a webhook, or by a function of your own that takes its time.

    Monitor(cache, on_alert=[log_alert, Webhook("https://hooks.example.com/raudo")])

What is slow runs in a thread of its own with a bounded queue, so that neither a check nor the
service ever waits for it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import queue
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from raudo.errors import Closed
from raudo.monitoring.alerts import Alert
from raudo.types import Sample

__all__ = ["Background", "Webhook", "alertmanager_payload", "log_alert"]

_log = logging.getLogger("raudo.monitoring.alerts")
_LONGEST_PAUSE_S = 60.0


def log_alert(alert: Alert) -> None:
    """Log an alert's beginning as a warning (an error if it is critical), its end as information.

    To the logger `raudo.monitoring.alerts`.
    """
    if alert.active:
        level = logging.ERROR if alert.severity == "critical" else logging.WARNING
    else:
        level = logging.INFO
    _log.log(level, "%s", alert)


class Background:
    """Calls `deliver` with each alert from a thread of its own, and again when it raises.

    Args:
        deliver: Is given one alert at a time, in their order. It should have a timeout of its own:
            one that never comes back holds up the alerts behind it, not the service.
        retries: How often it is tried after the first time.
        backoff: Seconds before the first retry; doubled for each further one, a minute at most,
            with jitter.
        max_queue: Alerts that may wait. Of more the oldest is dropped, and counted.

    Watch it as a component to see what it delivers and drops. Thread-safe; in a forked child it
    starts anew, with nothing waiting.
    """

    def __init__(
        self,
        deliver: Callable[[Alert], object],
        *,
        retries: int = 5,
        backoff: float = 1.0,
        max_queue: int = 1000,
    ) -> None:
        if not callable(deliver):
            raise TypeError(f"deliver is {deliver!r}, wanted a callable of one alert")
        if retries < 0:
            raise ValueError(f"retries is {retries!r}, wanted a number >= 0")
        if not backoff > 0:
            raise ValueError(f"backoff is {backoff!r}, wanted a number > 0")
        if max_queue < 1:
            raise ValueError(f"max_queue is {max_queue!r}, wanted a number >= 1")
        self.name = type(self).__name__.lower()
        self._deliver = deliver
        self._retries = retries
        self._backoff = backoff
        self._max_queue = max_queue
        self.n_delivered = self.n_dropped = self.n_failed = 0
        """Alerts that arrived; that were dropped, undelivered; and attempts that failed."""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Alert] = queue.Queue(self._max_queue)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def __call__(self, alert: Alert) -> None:
        """Queue an alert; never waits. `Closed` after `close`."""
        if self._stop.is_set():
            raise Closed(f"the {self.name} is closed")
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            while True:
                try:
                    self._waiting.put_nowait(alert)
                    break
                except queue.Full:
                    with contextlib.suppress(queue.Empty):
                        self._waiting.get_nowait()
                        self._waiting.task_done()
                        self.n_dropped += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="raudo-alerts", daemon=True)
                self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Wait up to `timeout` seconds until nothing waits, then stop; the rest is dropped."""
        deadline = time.monotonic() + timeout
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            self._stop.wait(0.01)
        self._stop.set()

    def samples(self) -> Iterator[Sample]:
        labels = (("to", self.name),)
        for what, n in (
            ("delivered", self.n_delivered),
            ("dropped", self.n_dropped),
            ("failures", self.n_failed),
        ):
            name = f"raudo_alerts_{what}_total"
            yield Sample(name, "counter", n, labels, "Notices of alerts, and failed attempts.")

    def _run(self) -> None:
        waiting, stop = self._waiting, self._stop
        while not stop.is_set():
            try:
                alert = waiting.get(timeout=1.0)
            except queue.Empty:
                with self._lock:
                    if waiting.empty():
                        self._thread = None
                        return
                continue
            try:
                self._try(alert, stop)
            finally:
                waiting.task_done()

    def _try(self, alert: Alert, stop: threading.Event) -> None:
        for attempt in range(self._retries + 1):
            try:
                self._deliver(alert)
            except Exception as error:
                self.n_failed += 1
                if attempt == self._retries or isinstance(error, _Refused):
                    self.n_dropped += 1
                    _log.error("could not deliver %s: %r", alert, error)
                    return
                pause = min(self._backoff * 2**attempt, _LONGEST_PAUSE_S)
                if stop.wait(pause * random.uniform(0.5, 1.0)):
                    return
            else:
                self.n_delivered += 1
                return


class Webhook(Background):
    """Posts each alert as JSON to a URL.

    Args:
        url: Of http or https.
        timeout: Seconds that connecting, and each wait for the answer, may take.
        headers: Sent along, such as `{"Authorization": "Bearer ..."}`.
        payload: Makes the JSON data of an alert. By default what Prometheus's Alertmanager posts
            (version 4), so that a receiver made for that works.
        retries: After an answer that is neither 2xx nor the caller's fault (408 and 429 are tried
            again, other 4xx are not), or none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
        payload: Callable[[Alert], Any] | None = None,
        retries: int = 5,
        backoff: float = 1.0,
        max_queue: int = 1000,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"url is {url!r}, wanted one that begins with http:// or https://")
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout!r}, wanted a number > 0")
        super().__init__(self._post, retries=retries, backoff=backoff, max_queue=max_queue)
        self._url = url
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._payload = alertmanager_payload if payload is None else payload

    def _post(self, alert: Alert) -> None:
        data = json.dumps(self._payload(alert)).encode()
        request = urllib.request.Request(self._url, data, self._headers, method="POST")
        try:
            with _opener.open(request, timeout=self._timeout) as answer:
                answer.read(0)
        except urllib.error.HTTPError as error:
            with error:
                if 400 <= error.code < 500 and error.code not in (408, 429):
                    raise _Refused(f"status {error.code}") from None
                raise OSError(f"status {error.code}") from None
        except http.client.HTTPException as error:
            raise OSError(f"no answer in HTTP: {error!r}") from error


class _Refused(OSError):
    """Trying again would be of no use."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none: a POST would become a GET, and reach who knows whom."""


_opener = urllib.request.build_opener(_NoRedirect)


def alertmanager_payload(alert: Alert) -> dict[str, Any]:
    """Return an alert as Alertmanager would post it to a webhook."""
    status = "firing" if alert.active else "resolved"
    labels = {**dict(alert.labels), "alertname": alert.rule, "severity": alert.severity}
    annotations = {"summary": alert.summary or str(alert), "value": f"{alert.value:g}"}
    one = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _rfc3339(alert.since_ns),
        "endsAt": _rfc3339(alert.ended_ns) if alert.ended_ns else "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "",
    }
    return {
        "version": "4",
        "groupKey": f"raudo/{alert.rule}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "raudo",
        "groupLabels": {"alertname": alert.rule},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [one],
    }


def _rfc3339(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
