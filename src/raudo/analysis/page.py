"""One self-contained HTML page of an analysis: figures, plots as inline SVG, groups, timings.

Nothing is loaded from elsewhere and no script runs; a content security policy says so. Every text
that comes from a document's name is escaped. Large results are cut, and the page says by how much.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from raudo.analysis.plots import bars, histogram

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport, Group

__all__ = ["render"]

_GROUPS_SHOWN = 300
_MEMBERS_SHOWN = 100
_SKIPPED_SHOWN = 100

_STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5d6878;
--line:#dfe3e9;--mark:#2563c9;--faint:#dbe7fb;--bar:#3b7ddd;--warn:#9a5b00}
@media(prefers-color-scheme:dark){:root{--ground:#12161d;--card:#1a202a;--ink:#e6eaf0;--soft:#98a4b5;
--line:#2c3542;--mark:#7fb0ff;--faint:#22314a;--bar:#5b93e8;--warn:#e5b567}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink); font:15px/1.5
system-ui,-apple-system,"Segoe UI",Roboto,sans-serif} main{max-width:1120px;margin:0
auto;padding:32px 20px 64px}h1{font-size:24px;margin:0 0 4px;
overflow-wrap:anywhere}h2{font-size:17px;margin:36px 0 12px} p.lead{color:var(--soft);margin:0 0
20px} .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px; padding:14px
16px}.tile b{display:block;font-size:26px;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:12px}
@media(max-width:520px){.plots{grid-template-columns:1fr}} .card h3{margin:0 0
2px;font-size:14px}.card p{margin:0 0 8px;color:var(--soft);font-size:13px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:11px;
font-variant-numeric:tabular-nums}svg .bar{fill:var(--bar)}svg .bar:hover{fill:var(--mark)} svg
.axis{stroke:var(--line)}svg .value{fill:var(--ink)} details{background:var(--card);border:1px solid
var(--line);border-radius:10px;margin:0 0 8px} summary{cursor:pointer;padding:10px
14px;display:flex;gap:12px;align-items:baseline}
summary::before{content:"\\25b8";color:var(--soft)}details[open]>summary::before{content:"\\25be"}
summary .size{min-width:3.2em;text-align:center;background:var(--faint);color:var(--mark);
border-radius:6px;font-weight:600;font-variant-numeric:tabular-nums} summary
.name{flex:1;overflow-wrap:anywhere}summary .least{color:var(--soft);font-size:13px;
white-space:nowrap}table{width:100%;border-collapse:collapse;font-size:14px}
th,td{text-align:left;padding:5px 14px;border-top:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500}td.number,th.number{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}td.name{overflow-wrap:anywhere} .note{color:var(--warn);margin:4px
0}.scroll{overflow-x:auto} footer{color:var(--soft);margin-top:40px; font-size:13px}
"""


def render(report: AnalysisReport, title: str) -> str:
    """Return the page."""
    prefix = _prefix(report)
    lead = f"Near-duplicates at {report.measure} similarity {report.threshold:g} and above."
    if prefix:
        lead += f" Names are below <code>{_text(prefix)}</code>."
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">",
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_text(title)}</h1><p class='lead'>{lead}</p>",
        _tiles(report),
        *(f"<p class='note'>{_text(note)}</p>" for note in report.notes),
        "<h2>Distributions</h2>",
        _plots(report),
        f"<h2>Near-duplicate groups ({len(report.groups):,})</h2>",
        _groups(report, prefix),
        "<h2>Stages</h2>",
        _stages(report),
        _skipped(report, prefix),
        "<footer>Made by raudo. This page loads nothing.</footer></main></body></html>\n",
    ]
    return "".join(parts)


def _text(value: object) -> str:
    """Escape for HTML; what UTF-8 cannot spell becomes a visible escape."""
    return escape(str(value).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def _prefix(report: AnalysisReport) -> str:
    folders = {os.path.dirname(path) for path in report.paths if path}
    try:
        common = os.path.commonpath(folders)
    except ValueError:
        return ""
    return common + os.sep if common and common != os.sep else ""


def _tiles(report: AnalysisReport) -> str:
    hits = sum(stage.hits for stage in report.stages)
    asked = sum(stage.hits + stage.misses for stage in report.stages)
    n_skipped = sum(map(len, report.skipped.values()))
    tiles = [
        (f"{len(report):,}", "documents"),
        (f"{len(report.groups):,}", "near-duplicate groups"),
        (f"{report.n_duplicates:,}", "documents more than one of each"),
        (_amount(int(report.words.sum())), "words"),
        (f"{n_skipped:,}", "skipped"),
        (
            f"{report.seconds:.2f} s",
            f"all stages, {hits / asked if asked else 0:.0%} from the cache",
        ),
    ]
    cells = (
        f"<div class='tile'><b>{value}</b><span>{label}</span></div>" for value, label in tiles
    )
    return f"<div class='tiles'>{''.join(cells)}</div>"


def _amount(n: int) -> str:
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if n >= size:
            scale = 1000 if unit == "k" else size
            return f"{n / scale:.1f} {unit}"
    return f"{n:,}"


def _plots(report: AnalysisReport) -> str:
    similarities = report.neighbours.similarities
    nearest = similarities[:, 0] if similarities.shape[1] else np.empty(0, np.float32)
    nearest = nearest[~np.isnan(nearest)]
    sizes = np.array([len(group) for group in report.groups], np.int64)
    cards = [
        _card(
            "Document length",
            "Words in a document, logarithmic.",
            histogram(np.maximum(report.words, 1), "words", logarithmic=True),
        ),
        _card(
            "Nearest document",
            "Cosine of the vectors of each document and its most similar one.",
            histogram(nearest, "cosine", low=0.0, high=1.0),
        ),
        _card(
            "Group sizes",
            "How many groups have so many documents.",
            _size_bars(sizes),
        ),
        _card(
            "Time by stage",
            "Seconds.",
            bars(
                [stage.name for stage in report.stages],
                [stage.seconds for stage in report.stages],
                [f"{stage.seconds:.3f} s" for stage in report.stages],
            ),
        ),
    ]
    return f"<div class='plots'>{''.join(cards)}</div>"


def _size_bars(sizes: np.ndarray) -> str:
    labels, counts = [], []
    low = 2
    while len(sizes) and low <= sizes.max():
        high = low + 1 if low < 6 else 2 * low
        labels.append(str(low) if high == low + 1 else f"{low}-{high - 1}")
        counts.append(int(((sizes >= low) & (sizes < high)).sum()))
        low = high
    return bars(labels, counts, [f"{count:,}" for count in counts])


def _card(title: str, about: str, plot: str) -> str:
    return f"<div class='card'><h3>{title}</h3><p>{about}</p>{plot}</div>"


def _groups(report: AnalysisReport, prefix: str) -> str:
    if not report.groups:
        return "<p>There are none.</p>"
    largest = sorted(report.groups, key=lambda group: (-len(group), group.number))
    shown = [_group(group, prefix) for group in largest[:_GROUPS_SHOWN]]
    if len(largest) > _GROUPS_SHOWN:
        shown.append(f"<p>{len(largest) - _GROUPS_SHOWN:,} smaller groups are not shown.</p>")
    return "".join(shown)


def _group(group: Group, prefix: str) -> str:
    rows = "".join(
        f"<tr><td class='name'>{_text(str(member).removeprefix(prefix))}</td>"
        f"<td class='number'>{similarity:.3f}</td></tr>"
        for member, similarity in zip(
            group.members[:_MEMBERS_SHOWN], group.similarities[:_MEMBERS_SHOWN], strict=True
        )
    )
    more = len(group) - _MEMBERS_SHOWN
    if more > 0:
        rows += f"<tr><td colspan='2'>and {more:,} more</td></tr>"
    name = _text(str(group.representative).removeprefix(prefix))
    return (
        f"<details><summary><span class='size'>{len(group):,}</span>"
        f"<span class='name'>{name}</span>"
        f"<span class='least'>least {min(group.similarities):.3f}</span></summary>"
        "<table><tr><th>document</th><th class='number'>similarity to the first</th></tr>"
        f"{rows}</table></details>"
    )


def _stages(report: AnalysisReport) -> str:
    rows = "".join(
        f"<tr><td>{_text(stage.name)}</td><td class='number'>{stage.seconds:.3f}</td>"
        f"<td class='number'>{stage.items:,}</td><td class='number'>{stage.hits:,}</td>"
        f"<td class='number'>{stage.misses:,}</td><td class='number'>{stage.saved_s:.3f}</td></tr>"
        for stage in report.stages
    )
    heads = ("seconds", "documents", "cache hits", "cache misses", "seconds saved")
    head = "".join(f"<th class='number'>{name}</th>" for name in heads)
    return (
        f"<div class='card scroll'><table><tr><th>stage</th>{head}</tr>{rows}</table>"
        f"<p>Duplicates: {_text(report.duplicates_method)}. "
        f"Similar documents: {_text(report.neighbours.method)}.</p></div>"
    )


def _skipped(report: AnalysisReport, prefix: str) -> str:
    lists: list[tuple[str, Sequence[str]]] = list(report.skipped.items())
    if report.badly_encoded:
        lists.append(("not UTF-8, read as Latin-1", report.badly_encoded))
    if not lists:
        return ""
    parts = ["<h2>Skipped and badly encoded</h2>"]
    for reason, names in lists:
        rows = "".join(
            f"<tr><td class='name'>{_text(name.removeprefix(prefix))}</td></tr>"
            for name in names[:_SKIPPED_SHOWN]
        )
        if len(names) > _SKIPPED_SHOWN:
            rows += f"<tr><td>and {len(names) - _SKIPPED_SHOWN:,} more</td></tr>"
        parts.append(
            f"<details><summary><span class='size'>{len(names):,}</span>"
            f"<span class='name'>{_text(reason)}</span></summary><table>{rows}</table></details>"
        )
    return "".join(parts)
