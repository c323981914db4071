"""The live page: `serve` runs it in a thread of this process, `DashboardApp` is for mounting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from raudo.monitoring.dashboard.app import DashboardApp
from raudo.monitoring.dashboard.guard import hosts_of
from raudo.monitoring.dashboard.server import Server, is_loopback
from raudo.types import Sample

if TYPE_CHECKING:
    from raudo.monitoring.monitor import Monitor

__all__ = ["DashboardApp", "Server", "serve"]


def serve(
    monitor: Monitor,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str | None = None,
    hosts: Iterable[str] | None = None,
    title: str | None = None,
    trouble: Callable[[], str] | None = None,
    collect: Callable[[], Iterable[Sample]] | None = None,
) -> Server:
    """Show a monitor on a page of its own, from a daemon thread; return the server.

    A monitor that does not run is started, and stopped when the server closes.

    Args:
        monitor: What is shown. With `Monitor(hot_keys=True)` the page names keys too.
        host: Address to bind.
        port: 0 takes a free one; the server's `port` and `url` say which.
        token: What a client has to know, 16 characters or more; it must be given for an address
            that other machines can reach. Without TLS it travels readable: put a proxy before.
        hosts: Further names that the page may be asked for under.
        title: Heads the page; the host's name and the process's number when None.
        trouble: Called with each frame for a line that the page warns with; "" for none.
        collect: What `/metrics` shows; `monitor.collect` when None.

    Raises:
        ValueError: No token, and the address is none of the loopback's.
        OSError: The address cannot be bound.

    >>> from raudo.monitoring import Monitor, serve
    >>> with serve(Monitor()) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """
    if not isinstance(host, str):
        raise TypeError(f"host is {host!r}, wanted a str")
    if not callable(getattr(monitor, "snapshot", None)):
        raise TypeError(f"monitor is {monitor!r}, wanted a Monitor")
    if token is None and not is_loopback(host):
        raise ValueError(
            f"token is None, wanted one where others can reach the page (host is {host!r})"
        )
    # With a token a page of a stranger's is kept out by what its browser does not have.
    names = None if token is not None and hosts is None else {*hosts_of(host), *(hosts or ())}
    app = DashboardApp(
        monitor, token=token, hosts=names, title=title, trouble=trouble, collect=collect
    )
    is_ours = not monitor.is_running
    server = Server(app, host, port, on_close=monitor.stop if is_ours else None)
    if is_ours:
        monitor.start()
    return server
