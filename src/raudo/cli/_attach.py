"""What `raudo serve` and `raudo top` share: attaching to the metrics of a running process."""

from __future__ import annotations

import argparse
import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raudo.monitoring import Monitor, Remote

__all__ = ["PORT", "add_token", "attached", "interval", "token_of"]

PORT = 8650
"""Where `raudo serve` listens and `raudo top` looks, unless they are told."""


def add_token(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help=f"{what}; the variable RAUDO_TOKEN does the same",
    )


def token_of(args: argparse.Namespace) -> str | None:
    """Return the token of the file or the environment: never one of the command line, which
    everyone on the machine can read."""
    if args.token_file is not None:
        return str(args.token_file.read_text(encoding="utf-8")).strip()
    return os.environ.get("RAUDO_TOKEN") or None


def interval(text: str) -> float:
    """Parse seconds between two looks."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"wanted seconds from 0.1 to 3600, got {text!r}")
    return seconds


def attached(url: str, token: str | None, seconds: float) -> tuple[Monitor, Remote]:
    """Return a monitor of another process's metrics, judged by the default rules here.

    ValueError for a URL that is none.
    """
    from raudo.monitoring import Monitor, Remote

    remote = Remote(url, token=token, timeout=max(2.0, seconds))
    # What it would log of an endpoint that is away is shown where its figures would be.
    logging.getLogger("raudo.monitoring").addHandler(logging.NullHandler())
    patience = remote.timeout + 1.0  # it ends by itself before the monitor leaves it alone
    return Monitor(remote, interval=seconds, process=False, read_timeout=patience), remote
