"""Rows of a comparison: one case, the figure of raudo and of each peer, and the bar to meet.

A module that measures offers `rows(quick) -> list[Row]`; `render` prints what several of them
found as tables, and names the bars that were missed and the cases in which a peer is better.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from raudo.cli._bench_timing import interleave, summary

__all__ = [
    "OURS",
    "Bar",
    "Row",
    "Section",
    "is_installed",
    "race",
    "render",
    "run_sections",
    "timed_ms",
]

OURS = "raudo"
"""The subject that is judged; others whose names begin with it are ours too, and only shown."""
_TIE = 1.1  # of two medians on a machine that others use too


class Bar(NamedTuple):
    """What raudo is to reach in a case, in words, and what it got."""

    wanted: str
    got: str
    met: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One case of a comparison.

    Args:
        table: Heading that the row is printed under; rows of one table share a unit.
        case: What was done.
        unit: Of the values: "ns", "us", "ms", "MB", ...
        values: Figure by subject, `"raudo"` among them.
        times_better: How many times better than the best of `rivals` raudo is to be, or than each
            subject that a mapping names; None: no bar.
        at_most: What raudo's own figure is not to exceed; None: no such bar.
        at_least: What it is not to fall below.
        rivals: The subjects that the bar is about; empty for all that are not ours.
        is_less_better: Whether small figures are the good ones.
        note: What a reader has to know of this row.
    """

    table: str
    case: str
    unit: str
    values: Mapping[str, float]
    times_better: float | Mapping[str, float] | None = None
    at_most: float | None = None
    rivals: Sequence[str] = ()
    is_less_better: bool = True
    note: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Subjects that could not do it, and what they said."""
    at_least: float | None = None
    best: Mapping[str, float] = field(default_factory=dict)
    """The best single pass of each subject, where that is known too."""

    @property
    def best_rival(self) -> str | None:
        """The best of the subjects that raudo is compared with; None where there are none."""
        names = [
            name
            for name in self.values
            if (name in self.rivals if self.rivals else not name.startswith(OURS))
        ]
        if not names:
            return None
        return (min if self.is_less_better else max)(names, key=lambda name: self.values[name])

    def ratio_to(self, name: str) -> float:
        """Return how many times better raudo is than a subject; below 1 it is worse."""
        ours, theirs = self.values[OURS], self.values[name]
        above, below = (theirs, ours) if self.is_less_better else (ours, theirs)
        return above / below if below else float("inf")

    def bars(self) -> list[Bar]:
        """Return the bars that can be judged here."""
        ours = self.values[OURS]
        own = f"{_figure(ours)} {self.unit}"
        found = []
        if self.at_most is not None:
            found.append(Bar(f"<= {self.at_most:g} {self.unit}", own, ours <= self.at_most))
        if self.at_least is not None:
            found.append(Bar(f">= {self.at_least:g} {self.unit}", own, ours >= self.at_least))
        if isinstance(self.times_better, Mapping):
            for name, times in self.times_better.items():
                if name in self.values:
                    found.append(self._bar_against(name, times, name))
        elif self.times_better is not None and (best := self.best_rival) is not None:
            rivals = f"the best of {len(self.rivals) or 'all'}"
            found.append(self._bar_against(best, self.times_better, rivals))
        return found

    def _bar_against(self, name: str, times: float, called: str) -> Bar:
        ratio = self.ratio_to(name)
        return Bar(f">= {times:g}x {called}", f"{ratio:.2f}x {name}", ratio >= times)

    def loss(self) -> str | None:
        """Name the peer that is better than raudo here, if one is by more than a tie."""
        others = [name for name in self.values if not name.startswith(OURS)]
        worst = min(others, key=self.ratio_to, default=None)
        if worst is None or self.ratio_to(worst) * _TIE >= 1:
            return None
        return (
            f"{self.table}, {self.case}: raudo {_figure(self.values[OURS])} {self.unit}, "
            f"{worst} {_figure(self.values[worst])} {self.unit} ({self.ratio_to(worst):.2f}x)"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data, with the bars judged."""
        return asdict(self) | {"bars": [bar._asdict() for bar in self.bars()]}

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> Row:
        """Return the row that `as_json` gave."""
        return cls(**{name: value for name, value in plain.items() if name != "bars"})


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a comparison that can be run alone."""

    what: str
    seconds: int
    """About how long it takes, with all libraries and a quiet machine."""
    module: str
    """Offers `rows(quick) -> list[Row]`; imported when it is run."""

    def rows(self, quick: bool) -> list[Row]:
        found: list[Row] = importlib.import_module(f"raudo.cli.{self.module}").rows(quick)
        return found


def run_sections(
    known: Mapping[str, Section],
    *,
    quick: bool,
    sections: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure those of the `known` that are wanted, in their order."""
    rows: list[Row] = []
    for name, section in known.items():
        if name in sections:
            say(f"{name}: {section.what}, about {section.seconds} s")
            rows += section.rows(quick)
    return {"rows": [row.as_json() for row in rows]}


def is_installed(*modules: str) -> bool:
    """Say whether all of these could be imported."""
    return all(importlib.util.find_spec(each) is not None for each in modules)


def race(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Call every contender once a round, in another order each; return the median of each.

    A contender does one pass and returns its figure. The first round warms up and does not count.
    """
    found = interleave({"": contenders}, rounds, lambda: None)
    return {name: summary(found[name][""], 0.0)["median"] for name in contenders}


def timed_ms(work: Mapping[str, Callable[[], object]]) -> dict[str, Callable[[], float]]:
    """Return contenders for `race`, each of which does its work once and says how long it took."""

    def timed(each: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            began = time.perf_counter()
            each()
            return (time.perf_counter() - began) * 1e3

        return once

    return {name: timed(each) for name, each in work.items()}


# --- as text ----------------------------------------------------------------------------------


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cell(row: Row, name: str) -> str:
    if name not in row.values:
        return "failed" if name in row.failed else "-"
    cell = _figure(row.values[name])
    if name in row.best:
        cell += f" | {_figure(row.best[name])}"
    return cell if name == OURS else f"{cell} ({_figure(row.ratio_to(name))}x)"


def _aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, ["-" * width for width in widths], *lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _table(title: str, rows: Sequence[Row]) -> Iterator[str]:
    """A case a column, as there are more peers than cases: subjects go down, cases across."""
    names = list(dict.fromkeys(name for row in rows for name in (*row.values, *row.failed)))
    names.sort(key=lambda name: name != OURS)
    yield ""
    best = "median | best; " if any(row.best for row in rows) else ""
    yield f"{title} ({rows[0].unit}; {best}in brackets: times worse than raudo)"
    yield from _aligned(
        ["", *(row.case for row in rows)],
        [[name, *(_cell(row, name) for row in rows)] for name in names],
    )
    for row in rows:
        if row.note:
            yield f"({row.case}: {row.note})"
        yield from (f"({row.case}: {name} failed: {why})" for name, why in row.failed.items())


def _bar_lines(row: Row) -> Iterator[str]:
    for bar in row.bars():
        verdict = "met   " if bar.met else "MISSED"
        yield f"  {verdict}  {row.table}, {row.case}: {bar.wanted}; got {bar.got}"


def render(rows: Sequence[Row]) -> Iterator[str]:
    """Yield tables, bars and losses, line by line."""
    for title in dict.fromkeys(row.table for row in rows):
        yield from _table(title, [row for row in rows if row.table == title])
    bars = [line for row in rows for line in _bar_lines(row)]
    if bars:
        yield from ("", "Bars:", *bars)
    lost = [line for row in rows if (line := row.loss()) is not None]
    yield from ("", "Where a peer beats raudo by more than 10 %:")
    yield from (f"  {line}" for line in lost or ["nowhere"])
