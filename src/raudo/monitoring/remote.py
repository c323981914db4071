"""Reads the metrics of another process, so that a monitor here can watch it.

Any endpoint in Prometheus's text format will do.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, responses
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

from raudo.errors import EndpointUnavailable
from raudo.monitoring.dashboard.server import is_loopback
from raudo.monitoring.series import is_bucket, parse_series
from raudo.types import Sample

__all__ = ["Remote", "parse_exposition"]

_MOST_BYTES = 64 << 20
_LINE = re.compile(
    r'([a-zA-Z_:][\w:]*(?:\s*\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?)\s+(\S+)(?:\s+-?\d+)?\s*'
)
_LATE = "it does not answer in time"
_PARTS = ("_bucket", "_sum", "_count")


class Remote:
    """A component: its samples are those that a URL shows.

    Args:
        url: `http://` or `https://`, such as `http://127.0.0.1:8650/metrics`.
        token: Sent as `Authorization: Bearer`. Redirects are not followed: it goes nowhere else.
        timeout: Seconds that an answer may take.

    `error` says why the last look failed, or that it takes too long; None when it did not.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url is {url!r}, wanted one that begins with http:// or https://")
        self.url = url
        self.timeout = timeout
        self._error: str | None = None
        self._began: float | None = None
        headers = {"Accept": "text/plain;version=0.0.4"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._request = urllib.request.Request(url, headers=headers)
        # A proxy that the environment names cannot know this machine's loopback.
        proxies = urllib.request.ProxyHandler({} if is_loopback(parts.hostname) else None)
        self._opener = urllib.request.build_opener(_NoRedirect, proxies)

    @property
    def error(self) -> str | None:
        # A far end that sends a header letter by letter keeps a look going: it is told meanwhile.
        began = self._began
        if began is not None and monotonic() - began > self.timeout:
            return f"cannot read {self.url}: {_LATE}"
        return self._error

    def samples(self) -> Iterator[Sample]:
        """Fetch the page and return what is on it.

        Raises:
            EndpointUnavailable: It cannot be reached, refuses, or shows no metrics.
        """
        self._began = monotonic()
        try:
            # Buckets are many and would crowd out the rest: quantiles come as gauges beside them.
            samples = [each for each in parse_exposition(self._fetch()) if not is_bucket(each)]
            if not samples:
                raise EndpointUnavailable("it answers, but with no metrics")
        except (OSError, HTTPException, ValueError) as error:
            self._error = f"cannot read {self.url}: {_reason(error)}"
            raise EndpointUnavailable(self._error) from error
        else:
            self._error = None
        finally:
            self._began = None
        return iter(samples)

    def _fetch(self) -> str:
        deadline = monotonic() + self.timeout
        data = b""
        try:
            with self._opener.open(self._request, timeout=self.timeout) as answer:
                while more := answer.read1(1 << 20):
                    data += more
                    if len(data) > _MOST_BYTES:
                        raise EndpointUnavailable(
                            f"it answers with more than {_MOST_BYTES >> 20} MiB"
                        )
                    if monotonic() > deadline:
                        raise TimeoutError
        except urllib.error.HTTPError as error:
            error.close()  # it is the answer, too
            raise
        return data.decode("utf-8", "replace")


def parse_exposition(text: str) -> Iterator[Sample]:
    """Yield the samples of Prometheus's text format; lines that are none are left out.

    Histograms and summaries come as their parts.

    >>> [sample.value for sample in parse_exposition("# TYPE a_total counter\\na_total 3\\n")]
    [3.0]
    """
    kinds: dict[str, str] = {}
    helps: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("#"):
            words = line.split(None, 3)
            if len(words) == 4 and words[1] in ("TYPE", "HELP"):
                (kinds if words[1] == "TYPE" else helps)[words[2]] = words[3].strip()
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        try:
            name, labels = parse_series(found[1])
            value = float(found[2])
        except ValueError:
            continue
        yield Sample(name, _kind(name, kinds), value, labels, helps.get(name, ""))


def _kind(name: str, kinds: dict[str, str]) -> Literal["counter", "gauge", "histogram"]:
    for part in _PARTS:
        family = kinds.get(name.removesuffix(part)) if name.endswith(part) else None
        if family in ("histogram", "summary"):
            return "histogram" if family == "histogram" else "counter"
    return "counter" if kinds.get(name) == "counter" else "gauge"


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        hint = ", a token is wanted" if error.code == 401 else ""
        # Not the far end's own words: they could move the cursor of a terminal.
        return f"it answers {error.code} {responses.get(error.code, '')}{hint}"
    cause: Any = getattr(error, "reason", error)
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(cause, TimeoutError):
        return _LATE
    if isinstance(cause, HTTPException):
        return f"its answer is no HTTP ({type(cause).__name__})"
    return str(getattr(cause, "strerror", None) or cause)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
