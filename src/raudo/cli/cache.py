"""`raudo cache`: how large a cache should be, and by which strategy, from a request trace."""

from __future__ import annotations

import argparse
import importlib
import math
import sys

from raudo.cli._cache_read import MOST_REQUESTS
from raudo.cli._cache_sizes import Size

__all__ = ["HELP", "add_arguments", "run"]

HELP = "judge cache sizes and strategies by a request trace"

_FORMATS = ("auto", "recording", "npz", "oracleGeneral", "csv", "text")
_TRACE = (
    "what Cache(record=PATH) wrote, .npz with an array k, CSV, text of one key a line, or "
    "libCacheSim's oracleGeneral; each also .gz, .bz2, .xz, .zst"
)

_EXAMPLES = """
examples:
  raudo cache replay lookups.rec
  raudo cache replay trace.csv.gz --strategy adaptive --strategy lru --size 1% --size 10%
  raudo cache replay cdn.oracleGeneral.zst --size 64MB --size 1GiB --no-peers
  raudo cache advise lookups.rec --size 5000 --bytes-per-entry 800 --plot curve.svg
  raudo cache advise trace.npz --cost-per-gb-hour 0.005 --cost-per-miss 1e-6

lookups.rec is what a cache of yours wrote: cache = raudo.Cache(5000, record="lookups.rec")
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from raudo.cache.strategies import CacheStrategy

    _shows_examples(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    advise = actions.add_parser(
        "advise",
        help="which size: hit rate, bytes and cost of each",
        description="Print what LRU caches of several sizes would hit, exactly, and would hold.",
    )
    advise.add_argument("--plot", metavar="FILE.svg", help="draw the curve, and Belady's optimum")
    for name, what in (("gb-hour", "a GB (10**9 bytes) of memory for an hour"), ("miss", "a miss")):
        advise.add_argument(
            f"--cost-per-{name}",
            type=_number,
            metavar="COST",
            help=f"price of {what}, any currency; with both the cheapest size is marked",
        )
    advise.add_argument(
        "--bytes-per-entry", type=_number, metavar="N", help="where the trace has no sizes"
    )
    advise.add_argument(
        "--requests-per-hour", type=_number, metavar="N", help="where the trace has no times"
    )
    replay = actions.add_parser(
        "replay",
        help="which strategy: hit ratio and time of each, beside other libraries",
        description="Replay a trace through the real caches: get, and set on a miss.",
    )
    replay.add_argument(
        "--strategy",
        action="append",
        choices=[each.value for each in CacheStrategy],
        help="one of them; may be repeated (default: all that need no ttl)",
    )
    replay.add_argument("--no-peers", action="store_true", help="leave other libraries out")
    replay.add_argument("--plot", metavar="FILE.svg", help="draw hit ratios by size, and Belady's")
    for action, sizes in (
        (advise, "of one size what 0.5, 1, 2 and 4 times it would give (default: a table of 20)"),
        (replay, "(default: 1%%, 10%% and 25%%)"),
    ):
        _shows_examples(action)
        action.set_defaults(prog=action.prog)
        action.add_argument("trace", metavar="TRACE", help=_TRACE)
        action.add_argument(
            "--size",
            action="append",
            type=Size.parse,
            metavar="N|P%|NMB",
            help="entries, percent of the unique keys, or bytes (64MB, 1GiB) where the trace has "
            f"sizes; may be repeated; {sizes}",
        )
        action.add_argument(
            "--format", choices=_FORMATS, default="auto", help="of the trace, if its name misleads"
        )
        action.add_argument(
            "--limit",
            type=_whole,
            metavar="N",
            help=f"read the first N requests, 50 bytes of memory each (default: {MOST_REQUESTS:,})",
        )


def _shows_examples(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


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


def run(args: argparse.Namespace) -> int:
    """Print the table of the chosen action."""
    action = importlib.import_module(f"raudo.cli._cache_{args.action}")
    try:
        return int(action.run(args))
    except argparse.ArgumentTypeError as error:  # of arguments that do not go with the trace
        print(f"{args.prog}: error: {error} (see {args.prog} --help)", file=sys.stderr)
        return 2
