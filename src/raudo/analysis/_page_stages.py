"""How the analysis went, on the page: time and cache by stage, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raudo.analysis._page_parts import Names, amount, figure, percent, safe
from raudo.analysis._page_plots import card
from raudo.analysis.plots import bars

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport
    from raudo.analysis.stages import Stage

__all__ = ["skipped_part", "stages_part"]

_SKIPPED_SHOWN = 100
_HEADS = ("seconds", "documents", "a second", "cache hits", "misses", "hit rate", "seconds saved")


def stages_part(report: AnalysisReport) -> str:
    """Return a bar and a row a stage as HTML."""
    seconds = [stage.seconds for stage in report.stages]
    plot = bars(
        [stage.name for stage in report.stages],
        seconds,
        [f"{each:.3f} s" for each in seconds],
        "Seconds by stage",
    )
    head = "".join(f"<th class='number' scope='col'>{name}</th>" for name in _HEADS)
    return (
        f"<div class='plots'>{card('Time by stage', 'Seconds.', plot)}"
        "<div class='card scroll' tabindex='0' role='region' aria-label='Stages'><table>"
        f"<thead><tr><th scope='col'>stage</th>{head}</tr></thead>"
        f"<tbody>{''.join(map(_row, report.stages))}</tbody></table></div></div>"
        f"<p class='about'>Duplicates: {safe(report.duplicates_method)}. "
        f"Similar documents: {safe(report.neighbours.method)}.</p>"
    )


def _row(stage: Stage) -> str:
    rate = stage.rate
    numbers = (
        figure(round(stage.seconds, 6), f"{stage.seconds:.3f}"),
        figure(stage.items, f"{stage.items:,}"),
        "–" if rate is None else amount(round(rate)),
        figure(stage.hits, f"{stage.hits:,}"),
        figure(stage.misses, f"{stage.misses:,}"),
        percent(stage.hit_ratio),
        figure(round(stage.saved_s, 6), f"{stage.saved_s:.3f}"),
    )
    cells = "".join(f"<td class='number'>{each}</td>" for each in numbers)
    return f"<tr><th scope='row'>{safe(stage.name)}</th>{cells}</tr>"


def skipped_part(report: AnalysisReport, names: Names) -> str:
    """Return what was not read, or not as it should be, by reason; nothing where all was."""
    lists: list[tuple[str, Sequence[str]]] = list(report.skipped.items())
    if report.badly_encoded:
        lists.append(("not UTF-8, read as Latin-1", report.badly_encoded))
    if not lists:
        return ""
    parts = ["<h2>Skipped and badly encoded</h2>"]
    for reason, skipped in lists:
        rows = "".join(
            f"<tr><td class='name'>{names(name)}</td></tr>" for name in skipped[:_SKIPPED_SHOWN]
        )
        if len(skipped) > _SKIPPED_SHOWN:
            rows += f"<tr><td>and {len(skipped) - _SKIPPED_SHOWN:,} more</td></tr>"
        parts.append(
            f"<details><summary><span class='size'>{len(skipped):,}</span>"
            f"<span class='name'>{safe(reason)}</span></summary><table>{rows}</table></details>"
        )
    return "".join(parts)
