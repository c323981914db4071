"""One self-contained HTML page of an analysis: figures, map, plots, groups, timings.

It loads nothing: a content security policy allows its own style and script, by their hashes, and no
more. Every text that comes from a document is escaped. Large results are sampled or cut, and
the page says by how much.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raudo.analysis._page_groups import groups_part, quoted_members
from raudo.analysis._page_map import corpus_map
from raudo.analysis._page_parts import Names, figure, read_texts, safe
from raudo.analysis._page_style import SCRIPT, STYLE
from raudo.analysis.plots import bars, histogram

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport
    from raudo.analysis.stages import Stage

__all__ = ["render"]

_SKIPPED_SHOWN = 100


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def render(report: AnalysisReport, title: str, documents: Iterable[Any] | None = None) -> str:
    """Return the page; `documents` are read for their texts where the report does not hold them."""
    names = Names.of(report)
    members = quoted_members(report)
    mapped = report.sample.numbers.tolist() if report.sample is not None else []
    texts = read_texts(
        report, documents, {*mapped, *(i for each in members.values() for i in each)}
    )
    lead = f"Near-duplicates at {report.measure} similarity {report.threshold:g} and above."
    if names.prefix:
        lead += f" Names are below <code>{safe(names.prefix)}</code>."
    policy = f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}"
    n_mapped = f"{len(mapped):,} of {len(report):,}" if len(mapped) < len(report) else "All"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{safe(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{safe(title)}</h1><p class='lead'>{lead}</p>",
        "<nav aria-label='Parts of this page'><a href='#the-map'>Map</a> "
        "<a href='#near-duplicates'>Near-duplicates</a> <a href='#distributions'>Distributions</a> "
        "<a href='#stages'>Stages</a></nav>",
        _tiles(report),
        *(f"<p class='note'>{safe(note)}</p>" for note in report.notes),
        "<h2 id='the-map'>Map</h2>",
        f"<p class='about'>{n_mapped} documents by their vectors: neighbours are alike, colours "
        "are clusters, named by their typical words.</p>",
        corpus_map(report, names, texts),
        f"<h2 id='near-duplicates'>Near-duplicate groups ({len(report.groups):,})</h2>",
        "<p class='about'>The largest first. Similarity is that to the first document of a group; "
        "<ins>marked</ins> words are not in the first, <del>struck</del> ones only there.</p>",
        groups_part(report, names, texts),
        "<h2 id='distributions'>Distributions</h2>",
        _plots(report),
        "<h2 id='stages'>Stages and cache</h2>",
        _stages(report),
        _skipped(report, names),
        "<footer>Made by raudo. This page loads nothing from elsewhere.</footer></main>",
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "".join(parts)


def _share(stages: Iterable[Stage]) -> str:
    """Return the share of lookups that the cache answered; a dash where it was not asked."""
    hits = misses = 0
    for stage in stages:
        hits, misses = hits + stage.hits, misses + stage.misses
    return f"{hits / (hits + misses):.0%}" if hits + misses else "–"


def _tiles(report: AnalysisReport) -> str:
    n_skipped = sum(map(len, report.skipped.values()))
    n_words = int(report.words.sum())
    rate = len(report) / report.seconds if report.seconds else 0.0
    tiles = [
        ("documents", figure(len(report), f"{len(report):,}"), "documents"),
        ("groups", figure(len(report.groups), f"{len(report.groups):,}"), "near-duplicate groups"),
        (
            "duplicates",
            figure(report.n_duplicates, f"{report.n_duplicates:,}"),
            "documents that could go",
        ),
        ("words", figure(n_words, _amount(n_words)), "words"),
        ("skipped", figure(n_skipped, f"{n_skipped:,}"), "skipped"),
        (
            "seconds",
            figure(round(report.seconds, 6), f"{report.seconds:.2f} s"),
            f"all stages, {_amount(round(rate))} documents/s",
        ),
        ("cached", _share(report.stages), "known from the cache"),
    ]
    if report.peak_bytes:
        shown = f"{report.peak_bytes / 1e6:,.0f} MB"
        tiles.append(("memory", figure(report.peak_bytes, shown), "most memory held"))
    cells = (
        f"<div class='tile' id='tile-{key}'><b>{value}</b><span>{label}</span></div>"
        for key, value, label in tiles
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
                "Seconds by stage",
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
    return bars(labels, counts, [f"{count:,}" for count in counts], "Groups by size")


def _card(title: str, about: str, plot: str) -> str:
    return f"<div class='card'><h3>{title}</h3><p>{about}</p>{plot}</div>"


def _stages(report: AnalysisReport) -> str:
    rows = "".join(
        f"<tr><td>{safe(stage.name)}</td>"
        f"<td class='number'>{figure(round(stage.seconds, 6), f'{stage.seconds:.3f}')}</td>"
        f"<td class='number'>{figure(stage.items, f'{stage.items:,}')}</td>"
        f"<td class='number'>{_rate(stage)}</td>"
        f"<td class='number'>{figure(stage.hits, f'{stage.hits:,}')}</td>"
        f"<td class='number'>{figure(stage.misses, f'{stage.misses:,}')}</td>"
        f"<td class='number'>{_share([stage])}</td>"
        f"<td class='number'>{figure(round(stage.saved_s, 6), f'{stage.saved_s:.3f}')}</td></tr>"
        for stage in report.stages
    )
    heads = (
        "seconds",
        "documents",
        "a second",
        "cache hits",
        "misses",
        "hit rate",
        "seconds saved",
    )
    head = "".join(f"<th class='number'>{name}</th>" for name in heads)
    return (
        "<div class='card scroll' tabindex='0' role='region' aria-label='Stages'><table>"
        f"<thead><tr><th>stage</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<p class='about'>Duplicates: {safe(report.duplicates_method)}. "
        f"Similar documents: {safe(report.neighbours.method)}.</p>"
    )


def _rate(stage: Stage) -> str:
    return _amount(round(stage.items / stage.seconds)) if stage.seconds and stage.items else "–"


def _skipped(report: AnalysisReport, names: Names) -> str:
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
