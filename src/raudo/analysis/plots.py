"""Plots as inline SVG: a histogram, labelled bars, shares of a whole, points. Colours come from the
page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from raudo.analysis.distributions import Histogram

__all__ = ["bars", "histogram", "scatter", "shares", "tick"]

_WIDTH, _HEIGHT = 360, 180
_LEFT, _RIGHT, _BOTTOM, _TOP = 44, 10, 28, 18
NOTHING = "<p>Nothing to show.</p>"


def histogram(found: Histogram | None, unit: str) -> str:
    """Return an SVG of the bins, with the median marked."""
    if found is None:
        return NOTHING
    at = [math.log10(edge) for edge in found.edges] if found.is_logarithmic else found.edges
    low, span = at[0], at[-1] - at[0]
    inner = _WIDTH - _LEFT - _RIGHT
    floor, height = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    # Area stands for number: bins of whole numbers are not equally wide on a logarithmic axis.
    heights = [n / (end - x) for n, x, end in zip(found.counts, at, at[1:], strict=False)]
    peak = max(heights)
    shapes = [
        f"<line class='grid' x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y}' y2='{y}'/>"
        for y in (_TOP + 0.5, _TOP + height / 2 + 0.5)
    ]
    last = len(found.counts) - 1
    for i, count in enumerate(found.counts):
        if count:
            x, end = ((edge - low) / span * inner for edge in at[i : i + 2])
            tall = max(1.5, heights[i] / peak * height)
            about = f"{tick(found.edges[i])} to {tick(found.edges[i + 1])} {unit}"
            if found.is_clipped and i in (0, last):
                about += " and less" if i == 0 else " and more"
            shapes.append(
                f"<rect class='bar' x='{_LEFT + x + 0.5:.1f}' y='{floor - tall:.1f}' "
                f"width='{max(1.0, end - x - 1):.1f}' height='{tall:.1f}' rx='1.5'>"
                f"<title>{about}: {count:,}</title></rect>"
            )
    median = math.log10(max(found.median, 1)) if found.is_logarithmic else found.median
    x = _LEFT + min(max((median - low) / span, 0.0), 1.0) * inner
    anchor = "end" if x > _WIDTH - 100 else "start"
    shift = -5 if anchor == "end" else 5
    shapes.append(
        f"<line class='median' x1='{x:.1f}' x2='{x:.1f}' y1='{_TOP - 6}' y2='{floor}'/>"
        f"<text class='value' x='{x + shift:.1f}' y='{_TOP - 6}' text-anchor='{anchor}'>"
        f"median {tick(found.median)}</text>"
    )
    for value in _round_numbers(found):
        where = (math.log10(value) if found.is_logarithmic else value) - low
        shapes.append(
            f"<text x='{_LEFT + where / span * inner:.1f}' y='{floor + 17}' "
            f"text-anchor='middle'>{tick(value)}</text>"
        )
    if not found.is_logarithmic:
        for y, n in ((_TOP + 4, max(found.counts)), (floor, 0)):
            shapes.append(f"<text x='{_LEFT - 8}' y='{y}' text-anchor='end'>{_short(n)}</text>")
    shapes.append(
        f"<line class='axis' x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' "
        f"y1='{floor + 0.5}' y2='{floor + 0.5}'/>"
    )
    title = (
        f"Histogram of {unit}: median {tick(found.median)}, 90 % from {tick(found.p5)} "
        f"to {tick(found.p95)}"
    )
    return _svg(_HEIGHT, title, shapes)


def bars(labels: Sequence[str], values: Sequence[float], shown: Sequence[str], title: str) -> str:
    """Return an SVG of horizontal bars, each with its label and the value as `shown`."""
    if not labels:
        return NOTHING
    row, left, right = 23, 104, 60
    peak = max(values) or 1.0
    shapes = []
    for i, (label, value, figure) in enumerate(zip(labels, values, shown, strict=True)):
        width = max(1.5, value / peak * (_WIDTH - left - right))
        y = i * row + 4
        short = label if len(label) < 16 else f"{label[:14]}…"
        shapes.append(
            f"<text class='value' x='{left - 10}' y='{y + 11}' text-anchor='end'>{escape(short)}"
            f"<title>{escape(label)}</title></text>"
            f"<rect class='bar' x='{left}' y='{y}' width='{width:.1f}' height='{row - 8}' rx='2'/>"
            f"<text x='{left + width + 7:.1f}' y='{y + 11}'>{escape(figure)}</text>"
        )
    return _svg(len(labels) * row + 6, title, shapes)


def shares(parts: Sequence[tuple[str, int]], title: str) -> str:
    """Return an SVG of one bar that is cut into parts, each a class and a number."""
    total = sum(n for _, n in parts) or 1
    shapes, at = [], 0.0
    for name, n in parts:
        width = n / total * 1000
        if n:
            shown = max(2.0, width - 2)
            shapes.append(f"<rect class='{name}' x='{at:.1f}' width='{shown:.1f}' height='12'/>")
        at += width
    return (
        f"<svg class='shares' viewBox='0 0 1000 12' preserveAspectRatio='none' role='img' "
        f"aria-label='{escape(title)}'>{''.join(shapes)}</svg>"
    )


def scatter(
    places: NDArray[np.float64],
    classes: Sequence[str],
    about: Sequence[tuple[str, str, str]],
    title: str,
) -> str:
    """Return an SVG of points at `places` within [0, 1], of these classes.

    `about` is what each is: a name, facts and a text, all escaped already.
    """
    margin, width, height = 12, 760, 520
    xs = margin + places[:, 0] * (width - 2 * margin)
    ys = margin + (1 - places[:, 1]) * (height - 2 * margin)
    radius = 3.4 if len(places) > 600 else 4.8
    shapes = [
        f"<circle class='dot {kind}' cx='{x:.1f}' cy='{y:.1f}' r='{radius}' data-name='{name}' "
        f"data-facts='{facts}' data-text='{text}'/>"
        for x, y, kind, (name, facts, text) in zip(
            xs.tolist(), ys.tolist(), classes, about, strict=True
        )
    ]
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(title)}'>"
        f"{''.join(shapes)}</svg>"
    )


def _round_numbers(found: Histogram) -> list[float]:
    """Return some four to seven round numbers within the range: 1, 2 or 5 times a power of ten."""
    low, high = found.edges[0], found.edges[-1]
    if found.is_logarithmic:
        many = [m * 10**e for e in range(int(math.log10(high)) + 1) for m in (1, 2, 5)]
        inside = [float(each) for each in many if low <= each <= high]
        return inside[:: -(-len(inside) // 7)]
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(m * power for m in (1, 2, 5, 10) if (high - low) / (m * power) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick(value: float) -> str:
    """Return a number as the axes and the texts beside them show it."""
    size = abs(value)
    if size >= 10_000:
        return _short(round(value))
    if size >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 2 else f"{value:.2f}"


def _short(n: int) -> str:
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1e3:.0f} k" if n < 1_000_000 else f"{n / 1e6:.1f} M"


def _svg(height: int, title: str, shapes: Sequence[str]) -> str:
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' role='img' aria-label='{escape(title)}'>"
        f"{''.join(shapes)}</svg>"
    )
