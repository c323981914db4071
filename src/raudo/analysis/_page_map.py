"""The map of the page: a sample of the documents as points, and the clusters as its legend."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from raudo.analysis._page_parts import Names, safe
from raudo.analysis.differences import excerpt
from raudo.analysis.picture import clusters, plane
from raudo.analysis.plots import scatter

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport

__all__ = ["corpus_map"]

_WORD = re.compile(r"[^\W\d_]{3,}")
_WORD_CHARS = 2_000
_TERMS = 3
# They tell clusters apart and say nothing of them.
_COMMON = frozenset(
    "the and for with your from that this into using use are can any all its you not has have "
    "der die das und ein eine les des une est que los las por con para".split()
)


def corpus_map(report: AnalysisReport, names: Names, texts: Mapping[int, str]) -> str:
    """Return the map as HTML; `texts` are those of its documents, by number, if known."""
    sample = report.sample
    if sample is None or len(sample.numbers) < 3:
        return "<p class='about'>There are too few documents for a map.</p>"
    labels = clusters(sample.vectors)
    places = plane(sample.vectors, labels)
    numbers = sample.numbers.tolist()
    about = [(names.plain(report.ids[i]), safe(excerpt(texts.get(i, ""), 160))) for i in numbers]
    twins = report.group_of[sample.numbers] >= 0
    n_clusters = int(labels.max()) + 1
    title = f"Map of {len(numbers):,} documents in {n_clusters} clusters"
    dots = scatter(places, labels, twins, about, title)
    return (
        "<div class='card map' id='map'>"
        f"<div>{dots}</div><div><ul class='legend'>{_legend(numbers, labels, texts)}</ul>"
        "<div class='tip' aria-live='polite'>Point at a document to see what it is. "
        "Ringed ones are in a group of near-duplicates.</div></div></div>"
    )


def _legend(numbers: list[int], labels: np.ndarray, texts: Mapping[int, str]) -> str:
    sizes = np.bincount(labels)
    terms = _typical(numbers, labels, texts)
    return "".join(
        f"<li><label><input type='checkbox' checked value='{i}'>"
        "<svg viewBox='0 0 10 10' aria-hidden='true'>"
        f"<circle class='k{i}' cx='5' cy='5' r='5'/></svg>"
        f"<span>{safe(', '.join(terms[i]) or f'cluster {i + 1}')}</span>"
        f"<output>{size:,}</output></label></li>"
        for i, size in enumerate(sizes.tolist())
    )


def _typical(numbers: list[int], labels: np.ndarray, texts: Mapping[int, str]) -> list[list[str]]:
    """Return the words of each cluster that most of its documents have and few of the others."""
    in_all: Counter[str] = Counter()
    in_cluster = [Counter[str]() for _ in range(int(labels.max()) + 1)]
    for i, label in zip(numbers, labels.tolist(), strict=True):
        words = set(_WORD.findall(texts.get(i, "")[:_WORD_CHARS].lower()))
        in_all.update(words)
        in_cluster[label].update(words)
    sizes = np.bincount(labels)

    def best(found: Counter[str], size: int) -> list[str]:
        others = max(1, len(numbers) - size)
        weights = {
            word: count * math.log((count / size) / ((in_all[word] - count + 0.5) / others))
            for word, count in found.items()
            if count > 1 and word not in _COMMON
        }
        order = sorted(weights, key=lambda word: (-weights[word], word))
        return [word for word in order[:_TERMS] if weights[word] > 0]

    return [best(*each) for each in zip(in_cluster, sizes.tolist(), strict=True)]
