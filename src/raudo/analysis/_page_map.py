"""The map of the page: a sample of the documents as points, coloured by what the reader chooses."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raudo.analysis._page_parts import Names, language_name, safe
from raudo.analysis.differences import excerpt
from raudo.analysis.languages import UNDETERMINED
from raudo.analysis.picture import CLUSTERS, clusters, plane
from raudo.analysis.plots import scatter

if TYPE_CHECKING:
    from raudo.analysis.figures import Figures
    from raudo.analysis.report import AnalysisReport

__all__ = ["CorpusMap"]

_FEWEST = 3
_GREY = CLUSTERS - 1  # the last colour says nothing

_WORD = re.compile(r"[^\W\d_]{3,}")
_WORD_CHARS = 2_000
_TERMS = 3
# They tell clusters apart and say nothing of them.
_COMMON = frozenset(
    "the and for with your from that this into using use are can any all its you not has have "
    "der die das und ein eine les des une est que los las por con para".split()
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """What the points may be coloured by: a name, and for each of its classes a label, a number of
    documents, and the number of its colour; `of` is the class of each point."""

    name: str
    title: str
    classes: list[tuple[str, int, int]]
    of: list[int]


class CorpusMap:
    """The points of a report, their places, and the schemes of colour; `texts` are those of its
    documents, by number, if known."""

    def __init__(self, report: AnalysisReport, texts: Mapping[int, str]) -> None:
        self._report, self._texts = report, texts
        sample = report.sample
        self.numbers = [] if sample is None else sample.numbers.tolist()
        self.schemes: list[Scheme] = []
        if sample is None or len(self.numbers) < _FEWEST:
            return
        labels = clusters(sample.vectors)
        self._places = plane(sample.vectors, labels)
        self.schemes.append(self._by_cluster(labels))
        if report.figures is not None:
            self.schemes.append(self._by_language(report.figures))
        self.schemes.append(self._by_group())

    def _by_cluster(self, labels: NDArray[np.int64]) -> Scheme:
        terms = _typical(self.numbers, labels, self._texts)
        classes = [
            (", ".join(terms[i]) or f"cluster {i + 1}", size, i)
            for i, size in enumerate(np.bincount(labels).tolist())
        ]
        return Scheme("cluster", "Cluster", classes, labels.tolist())

    def _by_language(self, figures: Figures) -> Scheme:
        codes = [str(figures.language[i]) for i in self.numbers]
        counts = Counter(code for code in codes if code != UNDETERMINED).most_common()
        shown = {code: i for i, (code, _) in enumerate(counts[: CLUSTERS - 1])}
        classes = [(language_name(code), counts[i][1], i) for code, i in shown.items()]
        of = [shown.get(code, len(shown)) for code in codes]
        if rest := of.count(len(shown)):
            label = "others" if len(counts) > len(shown) else language_name(UNDETERMINED)
            classes.append((label, rest, _GREY))
        return Scheme("language", "Language", classes, of)

    def _by_group(self) -> Scheme:
        """Colour by whether a document is the first of its group, another one of it, or in none."""
        report = self._report
        firsts = {group.representative for group in report.groups}
        groups = report.group_of[self.numbers].tolist()
        of = [
            0 if group < 0 else 1 if report.ids[i] in firsts else 2
            for i, group in zip(self.numbers, groups, strict=True)
        ]
        labels = ("in no group", "first of a group", "its near-duplicates")
        colours = (_GREY, 0, 1)
        classes = [
            (label, of.count(i), colour)
            for i, (label, colour) in enumerate(zip(labels, colours, strict=True))
        ]
        return Scheme("group", "Duplicates", classes, of)

    def as_json(self) -> dict[str, Any]:
        return {
            "documents": len(self.numbers),
            **{
                scheme.name: [{"label": label, "documents": n} for label, n, _ in scheme.classes]
                for scheme in self.schemes
            },
        }

    def html(self, names: Names) -> str:
        if not self.schemes:
            return "<p class='about'>There are too few documents for a map.</p>"
        n = len(self.numbers)
        title = f"Map of {n:,} documents in {len(self.schemes[0].classes)} clusters"
        twins = self._report.group_of[self.numbers] >= 0
        kinds = [" twin" if twin else "" for twin in twins.tolist()]
        for scheme in self.schemes:
            initial = scheme.name[0]
            colours = [f"{initial}{colour}" for _, _, colour in scheme.classes]
            kinds = [f"{colours[i]} {kind}" for i, kind in zip(scheme.of, kinds, strict=True)]
        about = [(names.plain(self._report.ids[i]), *self._about(i)) for i in self.numbers]
        dots = scatter(self._places, kinds, about, title)
        return (
            f"<div class='card map' id='map' data-by='cluster'><div>{dots}</div><div>"
            f"{self._choice()}{''.join(map(_legend, self.schemes))}"
            "<div class='tip' aria-live='polite'>Point at a document to see what it is. "
            "Ringed ones are in a group of near-duplicates.</div></div></div>"
        )

    def _about(self, i: int) -> tuple[str, str]:
        report = self._report
        facts = [f"{report.words[i]:,} words"]
        if report.figures is not None:
            facts.append(language_name(str(report.figures.language[i])))
        if report.group_of[i] >= 0:
            facts.append(f"group {report.group_of[i]}")
        return safe(", ".join(facts)), safe(excerpt(self._texts.get(i, ""), 160))

    def _choice(self) -> str:
        choices = "".join(
            f"<label><input type='radio' name='by' value='{scheme.name}'"
            f"{' checked' if i == 0 else ''}><span>{scheme.title}</span></label>"
            for i, scheme in enumerate(self.schemes)
        )
        return f"<fieldset class='choice'><legend>Colour by</legend>{choices}</fieldset>"


def _legend(scheme: Scheme) -> str:
    rows = "".join(
        f"<li><label><input type='checkbox' checked value='{scheme.name[0]}{colour}'>"
        "<svg viewBox='0 0 10 10' aria-hidden='true'>"
        f"<circle class='k{colour}' cx='5' cy='5' r='5'/></svg>"
        f"<span>{safe(label)}</span><output>{n:,}</output></label></li>"
        for label, n, colour in scheme.classes
    )
    hidden = "" if scheme.name == "cluster" else " hidden"
    return f"<ul class='legend' data-for='{scheme.name}'{hidden}>{rows}</ul>"


def _typical(
    numbers: list[int], labels: NDArray[np.int64], texts: Mapping[int, str]
) -> list[list[str]]:
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
