"""Curves over a logarithmic axis, as an SVG file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["curves"]

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 24, 48
# Told apart without colour vision (Okabe and Ito, "Color Universal Design", 2008), by dashes too.
_STROKES = (("#0072b2", ""), ("#d55e00", "6 4"), ("#009e73", "2 3"))


def curves(
    lines: Mapping[str, tuple[Sequence[int], Sequence[float]]], x_name: str, y_name: str
) -> str:
    """Return an SVG of named lines, each x values > 0 in ascending order and y values in [0, 1]."""
    low = min(xs[0] for xs, _ in lines.values())
    high = max(max(xs[-1] for xs, _ in lines.values()), low * 1.01)
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x_of(value: float) -> float:
        return _LEFT + inner_width * math.log(value / low) / math.log(high / low)

    def y_of(value: float) -> float:
        return _TOP + inner_height * (1 - value)

    floor = _HEIGHT - _BOTTOM
    shapes = []
    for tenth in range(0, 11, 2):
        y = y_of(tenth / 10)
        shapes.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shapes.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" class="end">{tenth * 10} %</text>')
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = x_of(10**power)
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{floor}"/>')
        shapes.append(f'<text x="{x:.1f}" y="{floor + 18}" class="mid">{10**power:,}</text>')
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        colour, dashes = _STROKES[i % len(_STROKES)]
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(xs, ys, strict=True))
        style = f'stroke="{colour}" stroke-dasharray="{dashes}"'
        shapes.append(f'<polyline points="{points}" {style}/>')
        y = _TOP + 16 + 20 * i
        shapes.append(
            f'<line x1="{_LEFT + 12}" x2="{_LEFT + 44}" y1="{y}" y2="{y}" class="key" {style}/>'
        )
        shapes.append(f'<text x="{_LEFT + 52}" y="{y + 4}">{escape(name)}</text>')
    middle = _TOP + inner_height / 2
    shapes.append(
        f'<text x="{_LEFT + inner_width / 2}" y="{_HEIGHT - 8}" class="mid">{escape(x_name)}</text>'
        f'<text transform="translate(16 {middle}) rotate(-90)" class="mid">{escape(y_name)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_name)} by {escape(x_name)}">\n<style>'
        "text{font:13px sans-serif;fill:#333}.end{text-anchor:end}.mid{text-anchor:middle}"
        "line{stroke:#ddd}line.key,polyline{stroke-width:2;fill:none}</style>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )
