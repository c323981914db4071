"""One self-contained HTML page of an analysis: an overview, a map, plots, groups, timings.

It loads nothing: a content security policy allows its own style and script, by their hashes, and no
more. Every text that comes from a document is escaped. Large results are sampled or cut, and
the page says by how much.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raudo.analysis._page_groups import groups_part, quoted_members, shown_groups
from raudo.analysis._page_map import CorpusMap
from raudo.analysis._page_parts import Names, amount, figure, percent, read_texts, safe
from raudo.analysis._page_plots import plots_part
from raudo.analysis._page_stages import skipped_part, stages_part
from raudo.analysis._page_style import SCRIPT, STYLE
from raudo.analysis.distributions import distributions
from raudo.analysis.plots import shares
from raudo.analysis.stages import hit_ratio

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport

__all__ = ["Page", "render"]


@dataclass(frozen=True, slots=True)
class Page:
    """The page, and what it shows beyond `AnalysisReport.summary`, ready for JSON."""

    html: str
    figures: dict[str, Any]


def render(report: AnalysisReport, title: str, documents: Iterable[Any] | None = None) -> Page:
    """Make the page; `documents` are read for their texts where the report does not hold them."""
    names = Names.of(report)
    members = quoted_members(report)
    mapped = report.sample.numbers.tolist() if report.sample is not None else []
    texts = read_texts(
        report, documents, {*mapped, *(i for each in members.values() for i in each)}
    )
    corpus_map = CorpusMap(report, texts)
    policy = f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}"
    n_mapped = f"{len(mapped):,} of {len(report):,}" if len(mapped) < len(report) else "All"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{safe(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<header><p class='kind'>raudo · document analysis</p><h1>{safe(title)}</h1>",
        _lead(report, names),
        "<nav aria-label='Parts of this page'><a href='#the-map'>Map</a> "
        "<a href='#distributions'>Distributions</a> "
        "<a href='#near-duplicates'>Near-duplicates</a> "
        "<a href='#stages'>Stages</a></nav></header>",
        _overview(report),
        *(f"<p class='note'>{safe(note)}</p>" for note in report.notes),
        "<h2 id='the-map'>Map</h2>",
        f"<p class='about'>{n_mapped} documents by their vectors: neighbours are alike. Clusters "
        "are named by their typical words.</p>",
        corpus_map.html(names),
        "<h2 id='distributions'>Distributions</h2>",
        plots_part(distributions(report)),
        f"<h2 id='near-duplicates'>Near-duplicate groups ({len(report.groups):,})</h2>",
        "<p class='about'>The largest first. Similarity is that to the first document of a group; "
        "<ins>marked</ins> words are not in the first, <del>struck</del> ones only there.</p>",
        groups_part(report, names, texts),
        "<h2 id='stages'>Stages and cache</h2>",
        stages_part(report),
        skipped_part(report, names),
        "<footer>Made by raudo. This page loads nothing from elsewhere.</footer></main>",
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return Page("".join(parts), {"map": corpus_map.as_json(), "groups": shown_groups(report)})


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _lead(report: AnalysisReport, names: Names) -> str:
    """Say in a sentence or two what was found."""
    n_members = sum(map(len, report.groups))
    alike = f"{report.measure} similarity {report.threshold:g} and above"
    if report.groups:
        share = report.n_duplicates / len(report)
        said = (
            f"<strong>{share:.1%}</strong> of the documents could go: {n_members:,} of them are in "
            f"{len(report.groups):,} groups of near-duplicates ({alike})."
        )
    else:
        said = f"No near-duplicates ({alike})."
    if names.prefix:
        said += f" Names are below <code>{safe(names.prefix)}</code>."
    return f"<p class='lead'>{said}</p>"


def _overview(report: AnalysisReport) -> str:
    n_words = int(report.words.sum())
    n_skipped = sum(map(len, report.skipped.values()))
    tiles = [
        ("documents", figure(len(report), f"{len(report):,}"), "documents"),
        ("words", figure(n_words, amount(n_words)), "words"),
        ("groups", figure(len(report.groups), f"{len(report.groups):,}"), "near-duplicate groups"),
        (
            "duplicates",
            figure(report.n_duplicates, f"{report.n_duplicates:,}"),
            "documents that could go",
        ),
    ]
    rate = report.rate
    facts = [
        ("seconds", "all stages", figure(round(report.seconds, 6), f"{report.seconds:.2f} s")),
        ("rate", "documents a second", "–" if rate is None else amount(round(rate))),
        ("cached", "known from the cache", percent(hit_ratio(report.stages))),
        ("skipped", "skipped", figure(n_skipped, f"{n_skipped:,}")),
    ]
    if report.peak_bytes:
        shown = f"{report.peak_bytes / 1e6:,.0f} MB"
        facts.insert(3, ("memory", "most memory held", figure(report.peak_bytes, shown)))
    cells = "".join(
        f"<div class='tile' id='tile-{key}'><b>{value}</b><span>{label}</span></div>"
        for key, value, label in tiles
    )
    lines = "".join(
        f"<div id='tile-{key}'><dt>{label}</dt><dd>{value}</dd></div>"
        for key, label, value in facts
    )
    return f"<div class='tiles'>{cells}</div>{_shares(report)}<dl class='facts'>{lines}</dl>"


def _shares(report: AnalysisReport) -> str:
    """Return what of the documents is alone, first of its group, or another of one, as a bar."""
    n_groups = len(report.groups)
    n_alone = len(report) - sum(map(len, report.groups))
    parts = [
        ("g7", n_alone, "in no group"),
        ("g0", n_groups, "first of a group"),
        ("g1", report.n_duplicates, "near-duplicates of these"),
    ]
    keys = "".join(
        f"<li><svg viewBox='0 0 10 10' aria-hidden='true'><circle class='{kind}' cx='5' cy='5' "
        f"r='5'/></svg>{figure(n, f'{n:,}')} {label}</li>"
        for kind, n, label in parts
    )
    title = ", ".join(f"{n:,} {label}" for _, n, label in parts)
    bar = shares([(kind, n) for kind, n, _ in parts], f"Documents: {title}")
    return f"<div class='card whole' data-by='group'>{bar}<ul>{keys}</ul></div>"
