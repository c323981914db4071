"""Who may look: a token where others could reach the page, and no stranger's page ever.

What it keeps off: another machine (the token), a web page of someone else that makes the browser
ask here (`Origin`, `Sec-Fetch-Site`), and one whose name was pointed at the loopback (`Host`: DNS
rebinding). The token comes as `Authorization: Bearer`, or once as `?token=` in the address, which
is answered with a cookie and the address without it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from raudo.monitoring.dashboard.server import is_loopback

__all__ = ["Guard", "Refusal", "hosts_of"]

_SHORTEST_TOKEN = 16
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::\d*)?")


class Refusal(NamedTuple):
    """A status, and a line of text that says why."""

    status: int
    text: str


class Guard:
    """Judges requests.

    Args:
        token: What a client has to know; None asks for nothing.
        hosts: Names that the `Host` header may have; None allows any, for where a token keeps a
            stranger's page out: its cookie is not sent to another name.
    """

    def __init__(self, token: str | None, hosts: Iterable[str] | None) -> None:
        if token is not None:
            if not isinstance(token, str):
                raise TypeError("token is no string, wanted a str or None")
            if len(token) < _SHORTEST_TOKEN:  # its text stays out of messages and logs
                raise ValueError(
                    f"token has {len(token)} characters, wanted {_SHORTEST_TOKEN} or more"
                )
        if isinstance(hosts, str):
            raise TypeError(f"hosts is {hosts!r}, wanted several names")
        self._token = None if token is None else token.encode()
        self._hosts = None if hosts is None else {name.lower() for name in hosts}
        self._cookie = ("", b"")
        if self._token is not None:
            # Cookies of one host are shared by all its ports: the name tells dashboards apart.
            digest = hmac.new(self._token, b"raudo dashboard", hashlib.sha256).hexdigest()
            self._cookie = f"raudo_{digest[:8]}", digest.encode()

    def refusal(self, headers: Mapping[bytes, bytes], query: bytes) -> Refusal | None:
        """Say why the request is not answered; None if it is."""
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _bare(host) not in self._hosts:
            return Refusal(421, f"This page is not served under the name {host!r}.")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2].lower() != host.lower():
            return Refusal(403, "Another site's page may not read this one.")
        if (
            headers.get(b"sec-fetch-site", b"none") in (b"cross-site", b"same-site")
            and headers.get(b"sec-fetch-mode") != b"navigate"
        ):
            return Refusal(403, "Another site's page may not read this one.")
        if self._token is not None and not self._knows(headers, query):
            return Refusal(
                401, "A token is wanted: open the page with ?token=..., or send it as Bearer."
            )
        return None

    def cookie_for(self, query: bytes, path: str, scheme: str) -> bytes | None:
        """Return a cookie in exchange for a right token in the address."""
        if self._token is None or not _equal(_token_in(query), self._token):
            return None
        name, value = self._cookie
        # Lax, not Strict: a link from a chat window leads to the page all the same.
        secure = "; Secure" if scheme == "https" else ""
        return (f"{name}={value.decode()}; Path={path}; HttpOnly; SameSite=Lax{secure}").encode(
            "latin-1"
        )

    def _knows(self, headers: Mapping[bytes, bytes], query: bytes) -> bool:
        assert self._token is not None
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        name, value = self._cookie
        cookies = dict(_pairs(headers.get(b"cookie", b"")))
        # All three are compared, however the first came out.
        right = [
            scheme.lower() == b"bearer" and _equal(bearer.strip(), self._token),
            _equal(cookies.get(name.encode(), b""), value),
            _equal(_token_in(query), self._token),
        ]
        return any(right)


def _equal(given: bytes, wanted: bytes) -> bool:
    """Compare in a time that tells nothing of where they differ, nor of their lengths."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(wanted).digest())


def _token_in(query: bytes) -> bytes:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=8).get("token", [""])[0].encode()
    except ValueError:  # more fields than anyone needs
        return b""


def _pairs(cookies: bytes) -> Any:
    for each in cookies.split(b";"):
        name, _, value = each.strip().partition(b"=")
        yield name, value


def _bare(host: str) -> str:
    """Return the name of a `Host` header: lower case, without port, brackets and last dot."""
    found = _HOST.fullmatch(host.strip().lower())
    return "" if found is None else (found[1] or found[2]).removesuffix(".")


def hosts_of(address: str) -> set[str]:
    """Return the names under which a page bound to the address is asked for without a token."""
    names = {"localhost", "127.0.0.1", "::1"}
    return names | {address} if is_loopback(address) else names
