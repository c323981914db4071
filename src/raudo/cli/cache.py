"""`raudo cache`: how large a cache should be, and by which strategy, from a request trace."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "judge cache sizes and strategies by a request trace"

_FORMATS = ("auto", "recording", "npz", "oracleGeneral", "csv", "text")
_TRACE = (
    "what Cache(record=PATH) wrote, .npz with an array k, CSV, text of one key a line, or "
    "libCacheSim's oracleGeneral; also .gz, .bz2, .xz, .zst"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from raudo.cache.strategies import CacheStrategy

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    advise = actions.add_parser(
        "advise",
        help="the hit rate of each size",
        description="Print the hit rate of LRU caches by size.",
    )
    advise.add_argument("--plot", metavar="FILE.svg", help="draw the curve, and Belady's optimum")
    for name, what in (("gb-hour", "a GB of memory for an hour"), ("miss", "a miss")):
        advise.add_argument(
            f"--cost-per-{name}",
            type=_number,
            metavar="COST",
            help=f"price of {what}, any currency",
        )
    advise.add_argument(
        "--bytes-per-entry", type=_number, metavar="N", help="where the trace has no sizes"
    )
    advise.add_argument(
        "--requests-per-hour", type=_number, metavar="N", help="where the trace has no times"
    )
    replay = actions.add_parser(
        "replay",
        help="the hit ratio of each strategy",
        description="Replay a trace through the real caches: get, and set on a miss.",
    )
    replay.add_argument(
        "--strategy",
        action="append",
        choices=[each.value for each in CacheStrategy],
        help="one of them; may be repeated (default: all that need no ttl)",
    )
    replay.add_argument("--no-peers", action="store_true", help="leave other libraries out")
    for action in (advise, replay):
        action.set_defaults(prog=action.prog)
        action.add_argument("trace", metavar="TRACE", help=_TRACE)
        action.add_argument(
            "--size",
            action="append",
            type=_size,
            metavar="N|P%",
            help="entries, or percent of the unique keys; may be repeated",
        )
        action.add_argument("--format", choices=_FORMATS, default="auto", help="of the trace")
        action.add_argument("--limit", type=_whole, metavar="N", help="read the first N requests")


def _whole(text: str) -> int:
    if not text.replace("_", "").isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number >= 1, got {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number >= 0, got {text!r}")
    return value


def _size(text: str) -> Callable[[int], int]:
    """Return what makes entries of the number of unique keys."""
    if not text.endswith("%"):
        entries = _whole(text)
        return lambda n_unique: entries
    share = _number(text[:-1]) / 100
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"wanted 0% < size <= 100%, got {text!r}")
    return lambda n_unique: max(1, round(share * n_unique))


def run(args: argparse.Namespace) -> int:
    """Print the table of the chosen action."""
    if args.action == "advise":
        from raudo.cli import _cache_advise

        return _cache_advise.run(args)
    from raudo.cli import _cache_replay

    return _cache_replay.run(args)
