"""Plots as inline SVG: a histogram, labelled bars, points. Colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bars", "histogram", "scatter"]

_WIDTH, _HEIGHT, _BINS = 480, 190, 32
_LEFT, _BOTTOM, _TOP = 44, 30, 12


def histogram(
    values: NDArray[Any],
    unit: str,
    *,
    logarithmic: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Return an SVG that counts values in equal bins, of equal ratio when logarithmic (values >
    0).
    """
    if not len(values):
        return "<p>Nothing to show.</p>"
    data = np.log10(values) if logarithmic else np.asarray(values, np.float64)
    lowest = float(data.min()) if low is None else min(low, float(data.min()))
    highest = float(data.max()) if high is None else max(high, float(data.max()))
    if highest - lowest < 1e-9:
        lowest, highest = lowest - 0.5, highest + 0.5
    counts, edges = np.histogram(data, bins=_BINS, range=(lowest, highest))
    peak = max(1, int(counts.max()))
    inner_width, inner_height = _WIDTH - _LEFT - 8, _HEIGHT - _TOP - _BOTTOM
    step = inner_width / _BINS
    floor = _HEIGHT - _BOTTOM
    shapes = []
    for i, count in enumerate(counts.tolist()):
        if count:
            height = max(1.0, count / peak * inner_height)
            span = f"{_tick(edges[i], logarithmic)} to {_tick(edges[i + 1], logarithmic)} {unit}"
            shapes.append(
                f"<rect class='bar' x='{_LEFT + i * step + 0.5:.1f}' y='{floor - height:.1f}' "
                f"width='{step - 1:.1f}' height='{height:.1f}' rx='1.5'>"
                f"<title>{span}: {count:,}</title></rect>"
            )
    for part in range(5):
        at = lowest + (highest - lowest) * part / 4
        anchor = "start" if part == 0 else "end" if part == 4 else "middle"
        shapes.append(
            f"<text x='{_LEFT + inner_width * part / 4:.1f}' y='{floor + 16}' "
            f"text-anchor='{anchor}'>{_tick(at, logarithmic)}</text>"
        )
    shapes.append(f"<text x='{_LEFT - 6}' y='{_TOP + 8}' text-anchor='end'>{peak:,}</text>")
    shapes.append(f"<text x='{_LEFT - 6}' y='{floor}' text-anchor='end'>0</text>")
    shapes.append(
        f"<line class='axis' x1='{_LEFT}' x2='{_WIDTH - 8}' y1='{floor + 0.5}' y2='{floor + 0.5}'/>"
    )
    return _svg(_HEIGHT, f"Histogram of {unit}", shapes)


def bars(labels: Sequence[str], values: Sequence[float], shown: Sequence[str], title: str) -> str:
    """Return an SVG of horizontal bars, each with its label and the value as `shown`."""
    if not labels:
        return "<p>Nothing to show.</p>"
    row, left, right = 24, 92, 76
    peak = max(values) or 1.0
    shapes = []
    for i, (label, value, figure) in enumerate(zip(labels, values, shown, strict=True)):
        width = max(1.0, value / peak * (_WIDTH - left - right))
        y = i * row + 4
        shapes.append(
            f"<text x='{left - 8}' y='{y + 13}' text-anchor='end'>{escape(label)}</text>"
            f"<rect class='bar' x='{left}' y='{y}' width='{width:.1f}' height='{row - 8}' rx='2'/>"
            f"<text class='value' x='{left + width + 6:.1f}' y='{y + 13}'>{escape(figure)}</text>"
        )
    return _svg(len(labels) * row + 8, title, shapes)


def scatter(
    places: NDArray[np.float64],
    labels: NDArray[np.int64],
    ringed: NDArray[np.bool_],
    about: Sequence[tuple[str, str]],
    title: str,
) -> str:
    """Return an SVG of points at `places` within [0, 1], coloured by label.

    `about` is what each is: a name and a text, both escaped already.
    """
    margin, width, height = 10, 760, 520
    xs = margin + places[:, 0] * (width - 2 * margin)
    ys = margin + (1 - places[:, 1]) * (height - 2 * margin)
    radius = 3.2 if len(places) > 600 else 4.5
    shapes = [
        f"<circle class='dot k{label}{' twin' if ring else ''}' cx='{x:.1f}' cy='{y:.1f}' "
        f"r='{radius}' data-name='{name}' data-text='{text}'/>"
        for x, y, label, ring, (name, text) in zip(
            xs.tolist(), ys.tolist(), labels.tolist(), ringed.tolist(), about, strict=True
        )
    ]
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(title)}'>"
        f"{''.join(shapes)}</svg>"
    )


def _tick(at: float, logarithmic: bool) -> str:
    value = 10**at if logarithmic else at
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if logarithmic or value >= 100 else f"{value:.2f}"


def _svg(height: int, label: str, shapes: Sequence[str]) -> str:
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' role='img' aria-label='{escape(label)}'>"
        f"{''.join(shapes)}</svg>"
    )
