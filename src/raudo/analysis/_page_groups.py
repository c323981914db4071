"""The near-duplicates on the page: groups that open, with what differs between their members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raudo.analysis._page_parts import Names, figure, safe
from raudo.analysis.differences import Piece, differences, excerpt

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport, Group

__all__ = ["groups_part", "quoted_members", "shown_groups"]

_GROUPS_SHOWN = 300
_GROUPS_AT_ONCE = 12
_MEMBERS_SHOWN = 100
_GROUPS_QUOTED = 80
_MEMBERS_QUOTED = 6
_TAGS = {"same": "{}", "new": "<ins>{}</ins>", "gone": "<del>{}</del>"}


def _largest(report: AnalysisReport) -> list[Group]:
    largest = sorted(report.groups, key=lambda group: (-len(group), group.number))
    return largest[:_GROUPS_SHOWN]


def quoted_members(report: AnalysisReport) -> dict[int, list[int]]:
    """Return the numbers of the documents whose texts are shown, by number of their group."""
    order = np.argsort(report.group_of, kind="stable")
    starts = np.searchsorted(report.group_of[order], np.arange(len(report.groups)))
    return {
        group.number: order[starts[group.number] :][: min(len(group), _MEMBERS_QUOTED)].tolist()
        for group in _largest(report)[:_GROUPS_QUOTED]
    }


def shown_groups(report: AnalysisReport) -> list[dict[str, Any]]:
    """Return the figures of the groups that are shown, ready for JSON."""
    return [
        {
            "group": group.number,
            "representative": group.representative,
            "documents": len(group),
            "least_similarity": round(min(group.similarities), 6),
        }
        for group in _largest(report)
    ]


def groups_part(report: AnalysisReport, names: Names, texts: Mapping[int, str]) -> str:
    """Return the groups as HTML, the largest first."""
    if not report.groups:
        return "<p class='about'>There are none.</p>"
    quoted = quoted_members(report)
    shown = [
        _group(group, names, [texts.get(i) for i in quoted.get(group.number, ())])
        for group in _largest(report)
    ]
    if len(shown) > _GROUPS_AT_ONCE:
        rest = shown[_GROUPS_AT_ONCE:]
        shown[_GROUPS_AT_ONCE:] = [
            f"<details class='more'><summary>{len(rest):,} more groups</summary>"
            f"<div>{''.join(rest)}</div></details>"
        ]
    if len(report.groups) > _GROUPS_SHOWN:
        left = len(report.groups) - _GROUPS_SHOWN
        shown.append(f"<p class='about'>{left:,} smaller groups are not shown.</p>")
    return (
        "<label for='find'>Find in these groups</label><input type='search' id='find'> "
        "<span id='found' role='status'></span>"
        f"<div id='groups'>{''.join(shown)}</div>"
    )


def _group(group: Group, names: Names, texts: list[str | None]) -> str:
    rows = "".join(_rows(group, names, texts))
    more = len(group) - _MEMBERS_SHOWN
    if more > 0:
        rows += f"<tr><td colspan='2'>and {more:,} more</td></tr>"
    least = min(group.similarities)
    peek = "".join(
        f"<span class='peek'>{safe(excerpt(text, 90))}</span>" for text in texts[:1] if text
    )
    return (
        f"<details><summary><span class='size'>{len(group):,}</span>"
        f"<span class='name'>{names(group.representative)}{peek}</span>"
        f"<span class='least'>least {figure(round(least, 6), f'{least:.3f}')}</span></summary>"
        "<table><thead><tr><th scope='col'>document</th>"
        "<th class='number' scope='col'>similarity</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _rows(group: Group, names: Names, texts: list[str | None]) -> Iterator[str]:
    first = texts[0] if texts else None
    for i, (member, similarity) in enumerate(
        zip(group.members[:_MEMBERS_SHOWN], group.similarities, strict=False)
    ):
        text = texts[i] if i < len(texts) else None
        yield (
            f"<tr><td class='name'>{names(member)}{_quoted(i, first, text)}</td>"
            f"<td class='number'>{figure(similarity, f'{similarity:.3f}')}</td></tr>"
        )


def _quoted(i: int, first: str | None, text: str | None) -> str:
    if text is None or first is None:
        return ""
    if i == 0:
        return f"<div class='text'>{safe(excerpt(text, 360))}</div>"
    if text == first:
        return "<div class='text'>the same text</div>"
    pieces = differences(first, text)
    if all(piece.kind == "same" for piece in pieces):
        return "<div class='text'>the same words at the start</div>"
    return f"<div class='text'>{' '.join(map(_marked, pieces))}</div>"


def _marked(piece: Piece) -> str:
    return _TAGS[piece.kind].format(safe(piece.text))
