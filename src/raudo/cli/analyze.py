"""Find near-duplicates and similar documents, in folders of text or in files of lines."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raudo.cli._analyze_summary import summary_lines

if TYPE_CHECKING:
    from raudo.analysis import AnalysisReport, FileSource

__all__ = ["HELP", "add_arguments", "run"]

HELP = "find near-duplicates and similar documents"

_LEAST_MEMORY = 1 << 20
FORMATS = ("jsonl", "csv", "parquet", "arrow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a folder of text files, a .zip or .tar.gz of them, a .jsonl .csv .tsv .txt .parquet "
        ".arrow .feather of a document a row, a file, or - for lines of standard input",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write documents, groups and summary.json there"
    )
    parser.add_argument(
        "--threshold",
        type=_ratio,
        default=0.9,
        help="similarity at which documents are near-duplicates (default 0.9)",
    )
    parser.add_argument(
        "--measure",
        choices=("jaccard", "cosine"),
        default="jaccard",
        help="of the sets of words, or of the vectors (default jaccard)",
    )
    parser.add_argument(
        "--shingle", type=_count, default=1, metavar="N", help="compare runs of N words (default 1)"
    )
    parser.add_argument(
        "--k", type=_count_or_none, default=10, help="similar documents of each (default 10)"
    )
    parser.add_argument("--format", choices=FORMATS, help="of --out (default jsonl)")
    parser.add_argument("--jobs", type=_count, metavar="N", help="threads (default: all cores)")
    parser.add_argument("--text-field", metavar="NAME", help="field or column that holds the text")
    parser.add_argument("--id-field", metavar="NAME", help="field or column that holds the id")
    parser.add_argument(
        "--index",
        metavar="DIR",
        help="keep the analysis there: the next run reads what changed and updates the rest",
    )
    parser.add_argument(
        "--figures",
        action="store_true",
        help="tell of each document sentences, language, top terms, readability and entropy",
    )
    parser.add_argument(
        "--keep-markup", action="store_true", help="read HTML and Markdown with their tags"
    )
    parser.add_argument(
        "--memory",
        type=_size,
        metavar="SIZE",
        help="most that reading may hold, such as 500MB or 2GB; beyond it a file is mapped",
    )
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="DIR",
        help="where to remember documents (default: the user's cache folder)",
    )
    cache.add_argument("--no-cache", action="store_true", help="remember nothing")
    parser.add_argument("--report", metavar="FILE.html", help="write a page with groups and plots")
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON on standard output"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _ratio(given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{given!r}, wanted more than 0 and at most 1")
    return value


def _count(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r}, wanted a whole number from 1")
    return int(given)


def _count_or_none(given: str) -> int:
    return 0 if given == "0" else _count(given)


def _size(given: str) -> int:
    """Read a number of bytes, with a unit of 1000s (MB) or 1024s (MiB)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", given.strip().lower())
    size = 0
    if found is not None:
        unit = 1024 if found[3] else 1000
        size = int(float(found[1]) * unit ** " kmgt".index(found[2] or " "))
    if size < _LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{given!r}, wanted 1MiB or more, such as 500MB or 2GB")
    return size


def default_cache() -> Path:
    """Return the per-user cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base and os.path.isabs(base):
        return Path(base) / "raudo" / "analysis"
    return Path.home() / ".cache" / "raudo" / "analysis"


def run(args: argparse.Namespace) -> int:
    from raudo.analysis import DocumentAnalyzer, FileSource
    from raudo.analysis.report import write_whole

    wrong = _wrong(args)
    if wrong:
        print(f"{args.prog}: error: {wrong}", file=sys.stderr)
        return 2
    cache = None if args.no_cache else (args.cache or default_cache())
    written = [path for path in (args.out, args.report, args.index) if path]
    open_source = partial(
        FileSource,
        args.paths,
        text_field=args.text_field,
        id_field=args.id_field,
        exclude=written,
        markup="keep" if args.keep_markup else "text",
    )
    try:
        source = open_source()
    except (FileNotFoundError, ValueError) as error:
        print(f"{args.prog}: error: {error}", file=sys.stderr)
        return 2
    analyzer = DocumentAnalyzer(
        cache=cache,
        index=args.index,
        n_jobs=args.jobs,
        keep_texts=False,
        memory_bytes=args.memory,
        figures=args.figures,
        progress=not args.quiet,
    )
    found = analyzer.analyze(
        source, threshold=args.threshold, measure=args.measure, shingle=args.shingle, k=args.k
    )
    report = _with_source(found, source)
    if not len(report):
        skipped = ", ".join(f"{len(names):,} {why}" for why, names in report.skipped.items())
        print(
            f"{args.prog}: no documents found in {', '.join(args.paths)}"
            + (f" (skipped: {skipped})" if skipped else ""),
            file=sys.stderr,
        )
        return 1
    files: list[Path] = []
    shown: dict[str, Any] = {}
    if args.out:
        files += report.save(args.out, format=args.format or "jsonl", n_jobs=args.jobs)
    if args.report:
        from raudo.analysis.page import render

        page = Path(args.report)
        # What came through a pipe is gone: then the page has names alone.
        can_repeat = all(os.path.isfile(path) or os.path.isdir(path) for path in args.paths)
        again = open_source() if can_repeat else None
        made = render(report, f"raudo analyze {' '.join(args.paths)}", again)
        write_whole(page, made.html)
        shown["page"] = made.figures
        files.append(page)
    if args.json:
        shown["written"] = [str(path) for path in files]
        print(json.dumps(report.summary() | shown, indent=2, default=str))
        return 0
    for line in summary_lines(report, files, str(cache) if cache else None):
        print(line)
    return 0


def _wrong(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the places to write to, before an hour of work is spent."""
    if args.format and not args.out:
        return "argument --format: it is the format of --out, which is missing"
    if args.out and Path(args.out).exists() and not Path(args.out).is_dir():
        return f"argument --out: {args.out} is not a folder"
    if args.report:
        page = Path(args.report)
        if page.is_dir():
            return f"argument --report: {page} is a folder, wanted a file"
        if not page.parent.is_dir():
            return f"argument --report: there is no folder {page.parent}"
    for option, folder in (("--cache", args.cache), ("--index", args.index)):
        if folder and Path(folder).exists() and not Path(folder).is_dir():
            return f"argument {option}: {folder} is not a folder"
    if args.figures and not (args.out or args.report or args.json):
        return "argument --figures: they go to --out, --report and --json, which are missing"
    if args.index and args.figures:
        return "argument --index: it keeps words, not texts, which --figures needs"
    if args.index and args.shingle > 1:
        return f"argument --index: it keeps words, not texts: --shingle is {args.shingle}, wanted 1"
    if args.format in ("parquet", "arrow") and args.out:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            return f"argument --format: {args.format} needs pip install 'raudo[arrow]'"
    return None


def _with_source(report: AnalysisReport, source: FileSource) -> AnalysisReport:
    return dataclasses.replace(
        report,
        skipped=source.skipped,
        badly_encoded=tuple(source.badly_encoded),
        notes=(*source.notes, *report.notes),
    )
