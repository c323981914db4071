"""Numbers of ports, as users give them."""

from __future__ import annotations

__all__ = ["check_port"]


def check_port(port: object, lowest: int = 1) -> None:
    """Raise for what is no number of a port: a socket would take 70,000 for 4,464."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port is {port!r}, wanted a whole number")
    if not lowest <= port <= 65535:
        raise ValueError(f"port is {port}, wanted a number from {lowest} to 65535")
