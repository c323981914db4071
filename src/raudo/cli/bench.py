"""`raudo bench`: comparison runs that print what they did, on what, and where raudo loses."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import Any

__all__ = ["HELP", "add_arguments", "run"]

HELP = "compare raudo with other libraries on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=["cache"], default="cache", help="what to run")
    parser.add_argument("--all", action="store_true", help="str keys too")
    parser.add_argument(
        "--quick", action="store_true", help="small and short: shows that it runs, not figures"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE ('-': stdout)")


def run(args: argparse.Namespace) -> int:
    """Run the comparison and print it; 1 if a subject gave wrong answers."""
    from raudo.cli._bench_cache import run as measure
    from raudo.cli._bench_peers import installed, version_of
    from raudo.cli._bench_report import render
    from raudo.cli._bench_timing import describe_machine

    def say(text: str) -> None:
        print(f"bench: {text} ...", file=sys.stderr, flush=True)

    packages = dict.fromkeys(peer.package for peer in installed() if peer.package)
    result: dict[str, Any] = {
        "command": shlex.join(["raudo", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": {package: version_of(package) for package in packages},
        "quick": args.quick,
    }
    result |= measure(quick=args.quick, everything=args.all, say=say)
    if args.json == "-":
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(render(result)))
    if args.json and args.json != "-":
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
    return 1 if any(table["wrong"] for table in result["tables"]) else 0
