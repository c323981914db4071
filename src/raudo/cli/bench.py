"""`raudo bench`: comparison runs that print what they did, on what, and where raudo loses."""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

__all__ = ["HELP", "add_arguments", "run"]

HELP = "compare raudo with other libraries on this machine"


# Each has `packages()`, `run(quick=, say=[, sections=])` and `render(result)`; those that are
# divided have `SECTIONS`.
_MODULES = {
    "cache": "_bench_cache",
    "tiers": "_bench_tiers",
    "concurrency": "_bench_concurrency",
    "export": "_bench_export",
    "memory": "_bench_memory_room",
    "similarity": "_bench_similarity",
    "monitoring": "_bench_monitoring",
    "growth": "_bench_growth",
}


def _module(what: str) -> Any:
    return importlib.import_module(f"raudo.cli.{_MODULES[what]}")


def _sections_of(what: str) -> dict[str, Any]:
    """Return the sections of a comparison; none where it is not divided."""
    return getattr(_module(what), "SECTIONS", {})


def _section_names(text: str) -> list[str]:
    """Read a list of sections; of which comparison is not known yet."""
    known = {name: None for what in _MODULES for name in _sections_of(what)}
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"no section {', '.join(unknown) or 'given'}; there are {', '.join(known)}"
        )
    return names


def _chosen(args: argparse.Namespace) -> list[str]:
    """Return the sections to run: those asked for, all, or the comparison's own choice."""
    known = _sections_of(args.what)
    foreign = [name for name in args.only or () if name not in known]
    if foreign:
        raise SystemExit(
            f"{args.prog}: error: {args.what} has no section {', '.join(foreign)}; "
            f"there are {', '.join(known) or 'none'}"
        )
    if args.only:
        return list(args.only)
    return list(known) if args.all else list(getattr(_module(args.what), "DEFAULT", known))


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
        "what",
        nargs="?",
        choices=list(_MODULES),
        default="cache",
        help="what to run",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every section; takes some ten minutes")
    which.add_argument(
        "--only",
        metavar="SECTION,...",
        type=_section_names,
        help="parts of the comparison, in place of its usual ones; an unknown name lists them",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small and short: shows that it runs, not figures"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=_writable, help="write all figures to FILE ('-': stdout)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the comparison and print it; 1 if a subject gave wrong answers."""
    from raudo.cli._bench_peers import version_of
    from raudo.cli._bench_timing import describe_machine

    def say(text: str) -> None:
        print(f"bench: {text} ...", file=sys.stderr, flush=True)

    sections = _chosen(args)
    module = _module(args.what)
    if not args.quick and sections:
        seconds = sum(_sections_of(args.what)[name].seconds for name in sections)
        say(f"{', '.join(sections)}: about {seconds} s where nothing else runs")
    result: dict[str, Any] = {
        "command": shlex.join(["raudo", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": {package: version_of(package) for package in module.packages()},
        "quick": args.quick,
    }
    if missing := [name for name, version in result["versions"].items() if version is None]:
        print(
            f"bench: left out, as they are not installed: {', '.join(missing)} "
            f"(pip install 'raudo[bench]' brings most)",
            file=sys.stderr,
        )
    options = {"sections": sections} if sections else {}
    result |= module.run(quick=args.quick, say=say, **options)
    if args.json == "-":
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(module.render(result)))
    if args.json and args.json != "-":
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
    return 1 if any(table["wrong"] for table in result.get("tables", ())) else 0
