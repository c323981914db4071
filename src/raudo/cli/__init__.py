"""The `raudo` command: one file per subcommand.

Each has `HELP`, `add_arguments(parser)` and `run(args) -> exit code`, and is named in `COMMANDS`.
Exit codes: 0 done, 1 nothing to do or it failed, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from raudo._version import __version__
from raudo.errors import RaudoError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("analyze", "bench", "cache", "info", "publish", "serve", "top")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is for `--help`."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="raudo",
        description="Near-duplicates, cache sizes, publishing, benchmarks, live views.",
    )
    parser.add_argument("--version", action="version", version=f"raudo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"raudo.cli.{name}")
        each = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(each)
        each.set_defaults(run=module.run, prog=each.prog)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    args, unknown = _parser().parse_known_args(argv)
    if unknown:  # said by the command that does not know them, not by `raudo`
        _Parser(prog=args.prog).error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code = int(args.run(args) or 0)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"\n{args.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has seen enough. Python flushes at exit once more: give it somewhere to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RaudoError, OSError) as error:
        print(f"{args.prog}: error: {_told(error)}", file=sys.stderr)
        return 1


def _told(error: Exception) -> str:
    """Say what the system refused by the file's name first, without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
