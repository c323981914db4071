"""Curves over a logarithmic axis, as an SVG file that needs nothing else, for light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Panel", "draw"]

_WIDTH, _HEIGHT = 460, 270  # of a panel
_LEFT, _RIGHT, _BOTTOM = 60, 14, 40
_TOP = 10  # without a title
_LEGEND = 30
_LABEL_EVERY = 42  # at least so many units between two labels of the axis
# Told apart without colour vision (Okabe and Ito, "Color Universal Design", 2008), by dashes too;
# the second colour of each is for a dark ground.
_STROKES = (
    ("#0072b2", "#56b4e9", ""),
    ("#d55e00", "#f08a3c", "7 4"),
    ("#009e73", "#2fc79a", "2 3"),
    ("#cc79a7", "#e39cc3", "9 3 2 3"),
    ("#a17800", "#f0e442", "4 2"),
)
_THE_BEST = ("#555555", "#aaaaaa", "1 3")


@dataclass(frozen=True, slots=True)
class Panel:
    """Named lines, each x values > 0 in ascending order and y values in [0, 1]."""

    title: str
    lines: Mapping[str, tuple[Sequence[int], Sequence[float]]]


def draw(panels: Sequence[Panel], x_name: str, y_name: str) -> str:
    """Return an SVG of the panels, two to a row; lines of one name look the same in all of them.

    A name that starts with "Belady" is drawn as the bound that it is.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    width, height = n_columns * _WIDTH, n_rows * _HEIGHT + _LEGEND
    shapes = [*_legend(names)]
    for i, panel in enumerate(panels):
        x, y = i % n_columns * _WIDTH, i // n_columns * _HEIGHT + _LEGEND
        shapes.append(f'<g transform="translate({x} {y})">')
        shapes += _panel(panel, names, x_name, y_name)
        shapes.append("</g>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(y_name)} by {escape(x_name)}">\n<style>\n{_style(names)}</style>\n'
        f'<rect width="{width}" height="{height}" class="ground"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _style(names: Sequence[str]) -> str:
    light, dark = [], []
    for i, (of_light, of_dark, dashes) in enumerate(_strokes(names)):
        light.append(f".l{i}{{stroke:{of_light};stroke-dasharray:{dashes or 'none'}}}")
        dark.append(f".l{i}{{stroke:{of_dark}}}")
    return (
        "text{font:12px system-ui,sans-serif;fill:#333}"
        ".end{text-anchor:end}.mid{text-anchor:middle}\n"
        ".title{font-weight:600;font-size:13px}.ground{fill:#fff}.grid{stroke:#ddd}\n"
        ".line{stroke-width:2;fill:none;stroke-linejoin:round}\n" + "".join(light) + "\n"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}.ground{fill:#0d1117}.grid{stroke:#30363d}"
        + "".join(dark)
        + "}\n"
    )


def _strokes(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    n = 0
    for name in names:
        if name.startswith("Belady"):
            yield _THE_BEST
        else:
            yield _STROKES[n % len(_STROKES)]
            n += 1


def _legend(names: Sequence[str]) -> Iterator[str]:
    x = _LEFT
    for i, name in enumerate(names):
        yield f'<path d="M{x} 18h28" class="line l{i}"/>'
        yield f'<text x="{x + 34}" y="22">{escape(name)}</text>'
        x += 58 + 7 * len(name)


def _panel(panel: Panel, names: Sequence[str], x_name: str, y_name: str) -> Iterator[str]:
    low = min(xs[0] for xs, _ in panel.lines.values())
    high = max(max(xs[-1] for xs, _ in panel.lines.values()), low * 1.01)
    top = max(max(ys) for _, ys in panel.lines.values())
    step = next(each for each in (0.02, 0.05, 0.1, 0.2) if top <= 5 * each or each == 0.2)
    n_steps = max(1, math.ceil(top / step - 1e-9))
    ceiling = _TOP + 18 if panel.title else _TOP
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - ceiling - _BOTTOM
    floor = _HEIGHT - _BOTTOM

    def x_of(value: float) -> float:
        return _LEFT + inner_width * math.log(value / low) / math.log(high / low)

    def y_of(value: float) -> float:
        return floor - inner_height * value / (n_steps * step)

    for i in range(n_steps + 1):
        y = y_of(i * step)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" class="grid"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end">{100 * i * step:.0f} %</text>'
    labels: list[float] = []
    for value in _ticks(low, high):
        x = x_of(value)
        yield f'<path d="M{x:.1f} {ceiling}V{floor}" class="grid"/>'
        if all(abs(x - other) >= _LABEL_EVERY for other in labels):
            yield f'<text x="{x:.1f}" y="{floor + 16}" class="mid">{_short(value)}</text>'
            labels.append(x)
    for name, (xs, ys) in panel.lines.items():
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(xs, ys, strict=True))
        yield f'<polyline points="{points}" class="line l{names.index(name)}"/>'
    if panel.title:
        yield f'<text x="{_LEFT}" y="18" class="title">{escape(panel.title)}</text>'
    centre = _LEFT + inner_width / 2
    yield f'<text x="{centre}" y="{_HEIGHT - 6}" class="mid">{escape(x_name)}</text>'
    middle = ceiling + inner_height / 2
    yield (
        f'<text transform="translate(14 {middle}) rotate(-90)" class="mid">{escape(y_name)}</text>'
    )


def _ticks(low: float, high: float) -> Iterator[int]:
    """Yield round numbers, those whose label matters most first."""
    for digit in (1, 5, 2):
        for power in range(math.ceil(math.log10(high)) + 1):
            if low <= digit * 10**power <= high:
                yield digit * 10**power


def _short(value: int) -> str:
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value // unit}{name}"
    return str(value)
