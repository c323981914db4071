"""Show a running process in the terminal: key metrics, alerts, caches, processors, pools.

It reads the /metrics of the process, at the interval; q or Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import time
from typing import Any

from raudo.cli._attach import PORT, add_token, attached, interval, token_of
from raudo.errors import EndpointUnavailable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show a running process in the terminal, by its /metrics"

_DEFAULT_URL = f"http://127.0.0.1:{PORT}/metrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        nargs="?",
        default=_DEFAULT_URL,
        metavar="URL",
        help=f"metrics in Prometheus's text format (default {_DEFAULT_URL}, of `raudo serve`)",
    )
    parser.add_argument(
        "--interval", type=interval, default=1.0, metavar="S", help="between looks (default 1)"
    )
    parser.add_argument(
        "--once", action="store_true", help="look twice, an interval apart, print once and end"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each look")
    add_token(parser, "holds the token that the process wants, if any")


def run(args: argparse.Namespace) -> int:
    """Show it until interrupted; 1 if the process cannot be read at first."""
    from raudo.cli._top_view import draw
    from raudo.monitoring.dashboard.feed import as_json
    from raudo.monitoring.dashboard.frame import make_frame

    try:
        monitor, remote = attached(args.url, token_of(args), args.interval)
    except ValueError as error:
        print(f"{args.prog}: error: {error}", file=sys.stderr)
        return 2

    def look() -> dict[str, Any]:
        monitor.check()
        frame = make_frame(monitor, title=args.url)
        frame["trouble"] = remote.error or ""
        return frame

    frame = look()
    if remote.error is not None:
        hint = "; give the URL of a process, or start raudo serve" * (args.url == _DEFAULT_URL)
        raise EndpointUnavailable(f"{remote.error}{hint}")
    if args.once:  # what is counted a second needs two looks
        time.sleep(args.interval)
        frame = look()
        if remote.error is not None:
            raise EndpointUnavailable(remote.error)
    is_live = sys.stdout.isatty() and not args.once and not args.json
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if args.json or not is_live:
        for number in itertools.count():
            if number:
                time.sleep(args.interval)
                frame = look()
            if args.json:
                print(as_json(frame).decode(), flush=True)
            else:
                size = shutil.get_terminal_size((100, 24))
                print("\n".join(draw(frame, size.columns, None, colours=colours)), flush=True)
            if args.once:
                return 0
    from raudo.cli._top_screen import Screen

    with Screen() as screen:
        due = time.monotonic()
        while True:
            screen.show(draw(frame, *screen.size(), colours=colours))
            due = max(due + args.interval, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                if screen.wait(left) == "q":
                    return 0
                screen.show(draw(frame, *screen.size(), colours=colours))
            frame = look()
