"""Show a live page of figures, plots and alerts: of a process by its metrics, or of a demo load."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading

from raudo.cli._attach import PORT, add_token, attached, interval, token_of

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show a live page of a running process, or of a demo"

_EXAMPLES = """
examples:
  raudo serve                                         a demo load, to see what there is to see
  raudo serve --url http://127.0.0.1:9100/metrics     a process that shows its metrics
  raudo serve --print-rules > raudo-rules.yml         alerts for Prometheus
  raudo serve --print-grafana > raudo.json            a dashboard for Grafana

In a program of yours: server = raudo.monitoring.serve(monitor); print(server.url)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--url", help="metrics of a running process, in Prometheus's text format")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; one that other machines reach wants a token (one is made up "
        "and printed unless given)",
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, help=f"0 takes a free one (default {PORT})"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page is asked for under; may be repeated",
    )
    parser.add_argument(
        "--interval", type=interval, default=1.0, metavar="S", help="between looks (default 1)"
    )
    add_token(parser, "holds what a viewer has to know, 16 characters or more")
    parser.add_argument(
        "--target-token-file", metavar="FILE", help="holds the token that --url wants, if any"
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument(
        "--print-rules", action="store_true", help="print the alert rules for Prometheus, and end"
    )
    printed.add_argument(
        "--print-grafana", action="store_true", help="print a dashboard for Grafana, and end"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"wanted a port from 0 to 65535, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if args.print_rules:
        from raudo.monitoring import default_rules
        from raudo.monitoring.rules_file import prometheus_rules

        sys.stdout.write(prometheus_rules(default_rules()))
        return 0
    if args.print_grafana:
        from raudo.monitoring.grafana import dashboard_json

        sys.stdout.write(dashboard_json())
        return 0
    try:
        return _serve(args)
    except ValueError as error:
        print(f"{args.prog}: error: {error}", file=sys.stderr)
        return 2


def _serve(args: argparse.Namespace) -> int:
    from raudo.monitoring import Monitor, serve
    from raudo.monitoring.dashboard.server import is_loopback

    token = token_of(args)
    query = ""
    if token is None and not is_loopback(args.host):
        import secrets

        token = secrets.token_urlsafe(24)
        query = f"?token={token}"  # one that was given stays out of terminals and logs
    is_over = threading.Event()
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda _number, _frame: is_over.set())
            stack.callback(signal.signal, number, before)
        if args.url is not None:
            target_token = None
            if args.target_token_file:
                with open(args.target_token_file, encoding="utf-8") as file:
                    target_token = file.read().strip()
            monitor, remote = attached(args.url, target_token, args.interval)
            title, trouble = args.url, lambda: remote.error or ""
        else:
            from raudo.cli._serve_demo import Demo

            demo = stack.enter_context(Demo())
            monitor = Monitor(*demo.components, interval=args.interval, hot_keys=True)
            title, trouble = "demo load", None
        server = stack.enter_context(
            serve(
                monitor,
                args.host,
                args.port,
                token=token,
                hosts=args.allow_host or None,
                title=title,
                trouble=trouble,
            )
        )
        print(f"{title} at {server.url}{query}", flush=True)
        if args.url is None:
            print(
                "a process of yours: --url http://.../metrics, or monitoring.serve(monitor) in it"
            )
        print("Ctrl-C ends it", flush=True)
        is_over.wait()
    return 0
