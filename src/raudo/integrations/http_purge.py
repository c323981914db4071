"""Telling caches to forget, by HTTP: Varnish, nginx, Squid, Fastly and what understands them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from raudo.concurrency import Backoff, retry
from raudo.errors import RetriesExhausted
from raudo.integrations.objectstore import Purge

__all__ = ["HttpPurge"]

_MOST_KEYS = 256  # in one request; Fastly's bound


class _NotNow(OSError):
    """No answer, or one that may be another next time."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere else: the headers may hold a token."""


class HttpPurge:
    """Sends a request for each path that changed, and one for every 256 surrogate keys.

    Args:
        url: The folder as the caches know it (`https://cdn.example.com/assets`); a path that
            changed is asked for there.
        method: `PURGE` is what most caches understand.
        headers: Sent with every request (`{"Fastly-Key": token}`).
        keys_url: Where keys are sent, by `keys_method` (`https://api.fastly.com/service/ID/purge`,
            `"POST"`); None for `url` and `method`.
        key_header: Header that holds the keys, between spaces.
        timeout: Seconds for one request.
        retries: Further attempts, after no answer, 429 and 5xx.
        backoff: Seconds before the first of them, or a `Backoff`.

    A cache that answers 404 holds no copy, which is as good. Anything else than 2xx is an
    `OSError`. Redirects are not followed. A cache with an interface of its own (JSON, one request)
    is a function of a `Purge`.
    """

    def __init__(
        self,
        url: str,
        *,
        method: str = "PURGE",
        headers: Mapping[str, str] | None = None,
        keys_url: str | None = None,
        keys_method: str | None = None,
        key_header: str = "Surrogate-Key",
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float | Backoff = 0.2,
    ) -> None:
        for name, each in (("url", url), ("keys_url", keys_url or url)):
            if urlsplit(each).scheme not in ("http", "https"):
                raise ValueError(f"{name} is {each!r}, http:// or https:// is wanted")
        self._url, self._method = url.rstrip("/"), method
        self._keys_url, self._keys_method = keys_url or self._url, keys_method or method
        self._headers, self._key_header = dict(headers or {}), key_header
        self._timeout = timeout
        again = retry(retries=retries, retry_on=_NotNow, backoff=backoff)
        self._retried = again(self._once)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __repr__(self) -> str:
        return f"HttpPurge({self._url!r}, method={self._method!r})"

    def __call__(self, purge: Purge) -> None:
        """Send the requests, one after another; `OSError` at the first that fails for good."""
        for path in purge.urls:
            self._send(self._method, f"{self._url}/{quote(path)}", {})
        for first in range(0, len(purge.keys), _MOST_KEYS):
            keys = " ".join(purge.keys[first : first + _MOST_KEYS])
            self._send(self._keys_method, self._keys_url, {self._key_header: keys})

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        request = urllib.request.Request(url, method=method, headers={**self._headers, **headers})
        try:
            self._retried(request)
        except RetriesExhausted as exhausted:
            raise exhausted.__cause__ or exhausted from None

    def _once(self, request: urllib.request.Request) -> None:
        said = f"{request.get_method()} {request.full_url}"
        refused: tuple[int, str] | None = None
        try:
            self._opener.open(request, timeout=self._timeout).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:
                refused = error.code, error.reason
        except OSError as error:
            raise _NotNow(f"{said}: {error}") from error
        if refused is not None:  # raised out here: an HTTPError as the context would not pickle
            code, reason = refused
            kind = _NotNow if code == 429 or code >= 500 else OSError
            raise kind(f"{said}: HTTP {code} {reason}")
