"""`raudo bench`: comparison runs that print what they did, on what, and where raudo loses."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

__all__ = ["HELP", "add_arguments", "run"]

HELP = "compare raudo with other libraries on this machine"


def _section_names(text: str) -> list[str]:
    from raudo.cli._bench_cache import SECTIONS

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SECTIONS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"no section {', '.join(unknown) or 'given'}; there are {', '.join(SECTIONS)}"
        )
    return names


def _writable(path: str) -> str:
    """Refuse a file that cannot be written at the start, not after minutes of measuring."""
    if path == "-":
        return path
    existed = Path(path).exists()
    try:
        with open(path, "a", encoding="utf-8"):
            pass
        if not existed:
            Path(path).unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {path}: {error.strerror}") from error
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=["cache", "tiers"], default="cache", help="what to run"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every section; takes some ten minutes")
    which.add_argument(
        "--only",
        metavar="SECTION,...",
        type=_section_names,
        help="of hot, large, huge, keys, order, ttl, await, many, memory, pauses, threads "
        "(otherwise: hot, large, memory)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small and short: shows that it runs, not figures"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=_writable, help="write all figures to FILE ('-': stdout)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the comparison and print it; 1 if a subject gave wrong answers."""
    from raudo.cli import _bench_cache, _bench_peers, _bench_report, _bench_tiers
    from raudo.cli._bench_cache import DEFAULT, SECTIONS
    from raudo.cli._bench_peers import version_of
    from raudo.cli._bench_timing import describe_machine

    def say(text: str) -> None:
        print(f"bench: {text} ...", file=sys.stderr, flush=True)

    is_tiers = args.what == "tiers"
    sections = list(SECTIONS) if args.all else args.only or DEFAULT
    if not args.quick and not is_tiers:
        seconds = sum(SECTIONS[name].seconds for name in set(sections))
        say(f"{', '.join(sections)}: about {seconds} s where nothing else runs")
    peers = _bench_tiers.installed() if is_tiers else _bench_peers.installed()
    packages = dict.fromkeys(peer.package for peer in peers if peer.package)
    result: dict[str, Any] = {
        "command": shlex.join(["raudo", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": {package: version_of(package) for package in packages},
        "quick": args.quick,
    }
    if is_tiers:
        result |= _bench_tiers.run(quick=args.quick, say=say)
    else:
        result |= _bench_cache.run(quick=args.quick, sections=sections, say=say)
    if args.json == "-":
        print(json.dumps(result, indent=2))
    else:
        print("\n".join((_bench_tiers if is_tiers else _bench_report).render(result)))
    if args.json and args.json != "-":
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
    return 1 if any(table["wrong"] for table in result["tables"]) else 0
