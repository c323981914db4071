"""The summary that `raudo analyze` prints, readable at a glance."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raudo.analysis import AnalysisReport, Group

__all__ = ["summary_lines"]

_SHOWN_GROUPS = 5
_SHOWN_MEMBERS = 4
_SHOWN_SKIPPED = 3


def summary_lines(
    report: AnalysisReport, files: Sequence[Path], cache: str | None
) -> Iterator[str]:
    short = _Shortener(report)
    n_chars = int(report.chars.sum())
    n_words = int(report.words.sum())
    yield (
        f"{len(report):,} documents, {n_chars / 1e6:,.1f} M characters, {n_words:,} words, "
        f"in {report.seconds:.2f} s"
    )
    if short.prefix:
        yield _line("below", short.prefix)
    for reason, names in report.skipped.items():
        yield _line("skipped", f"{len(names):,} {reason}: {_some([*map(short, names)])}")
    if report.badly_encoded:
        names = list(report.badly_encoded)
        yield _line(
            "encoding", f"{len(names):,} not UTF-8, read as Latin-1: {_some([*map(short, names)])}"
        )
    yield ""
    alike = f"{report.measure} >= {report.threshold:g}"
    if not report.groups:
        yield _line("groups", f"no near-duplicates ({alike})")
    else:
        n_members = sum(map(len, report.groups))
        yield _line(
            "groups",
            f"{len(report.groups):,} of near-duplicates ({alike}): {n_members:,} documents, "
            f"{report.n_duplicates:,} more than one of each",
        )
        largest = sorted(report.groups, key=lambda group: (-len(group), group.number))
        for group in largest[:_SHOWN_GROUPS]:
            yield from _group_lines(group, short)
        if len(largest) > _SHOWN_GROUPS:
            yield f"            and {len(largest) - _SHOWN_GROUPS:,} more groups"
    yield ""
    stages = ", ".join(f"{stage.name} {_seconds(stage.seconds)}" for stage in report.stages)
    yield _line("stages", stages)
    yield _line("cache", _cache(report, cache))
    for note in report.notes:
        yield _line("note", note)
    if files:
        yield _line("written", ", ".join(map(str, files)))


def _line(label: str, text: str) -> str:
    return f"{label:<10}  {_printable(text)}"


class _Shortener:
    """Leaves out the folder that all documents are in."""

    def __init__(self, report: AnalysisReport) -> None:
        folders = {os.path.dirname(path) for path in report.paths if path}
        try:
            common = os.path.commonpath(folders)
        except ValueError:  # none, or absolute and relative ones
            common = ""
        self.prefix = common + os.sep if common and common != os.sep else ""

    def __call__(self, name: object) -> str:
        return _printable(str(name).removeprefix(self.prefix))


def _group_lines(group: Group, short: _Shortener) -> Iterator[str]:
    least = min(group.similarities)
    yield f"            {len(group):,} x {short(group.representative)}  (least {least:.3f})"
    for member in group.members[1:_SHOWN_MEMBERS]:
        yield f"                {short(member)}"
    if len(group) > _SHOWN_MEMBERS:
        yield f"                and {len(group) - _SHOWN_MEMBERS:,} more"


def _cache(report: AnalysisReport, cache: str | None) -> str:
    if cache is None:
        return "off"
    parts = []
    for stage in report.stages:
        n_asked = stage.hits + stage.misses
        if n_asked:
            saved = f", {_seconds(stage.saved_s)} saved" if stage.hits else ""
            parts.append(f"{stage.name}: {stage.hits:,} of {n_asked:,} known{saved}")
    return f"{'; '.join(parts)}  ({cache})"


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN_SKIPPED:,} more" if len(names) > _SHOWN_SKIPPED else ""
    return ", ".join(names[:_SHOWN_SKIPPED]) + more


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def _printable(text: str) -> str:
    """Keep a file name from moving the cursor or failing to print."""
    kept = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return kept.encode("utf-8", "backslashreplace").decode("utf-8")
