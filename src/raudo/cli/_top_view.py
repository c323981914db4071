"""Lays a frame out as lines of text: what the page shows, for a terminal of any size.

What a service names things is shown with its control characters replaced: a label cannot move the
cursor.
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = ["draw", "figure"]

_BOLD, _DIM, _RED, _GREEN, _CYAN, _END = (f"\x1b[{n}m" for n in ("1", "2", "31", "32", "36", "0"))
_BYTES = ("B", "kB", "MB", "GB", "TB")
_BARS = (10, 4, 0)  # letters wide


_Line = list[tuple[str, str]]
"""Pieces of a line: how each is painted ("" plainly), and its text."""


def draw(frame: dict[str, Any], columns: int, lines: int | None, *, colours: bool) -> list[str]:
    """Return the lines of a frame, each at most `columns` wide; at most `lines` of them."""
    parts = (_head, _key_metrics, _alerts, _caches, _workers, _latencies, _pools, _process)
    found = [line for part in parts for line in part(frame, columns)]
    if lines is not None and len(found) > lines:
        found = [*found[: lines - 1], [(_DIM, f"{len(found) - lines + 1} more lines")]]
    return [_painted(line, columns, colours) for line in found]


def _painted(line: _Line, columns: int, colours: bool) -> str:
    drawn = ""
    for code, text in line:
        kept = _cut(text, columns)
        columns -= _width(kept)
        drawn += f"{code}{kept}{_END}" if colours and code and kept else kept
    return drawn


def _head(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    clock = time.strftime("%H:%M:%S", time.localtime(frame["time"]))
    title = _cut(_clean(f"raudo top  {frame['title']}"), max(0, columns - len(clock) - 2))
    yield [(_BOLD, title), ("", " " * (columns - _width(title) - len(clock)) + clock)]
    if frame["trouble"]:
        yield [(_RED, _clean(f"! {frame['trouble']}"))]


def _key_metrics(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    yield []
    for metric in frame["key_metrics"]:
        colour, mark = {True: (_GREEN, "ok"), False: (_RED, "missed"), None: (_DIM, "no traffic")}[
            metric["ok"]
        ]
        sign = "<" if metric["better"] == "below" else ">"
        bound = f"target {sign} {figure(metric['target'], metric['unit'])}"
        value = figure(metric["value"], metric["unit"])
        yield [
            ("", f"{_clean(metric['title']):<16}{value:>11}  "),
            (colour, f"{bound:<20} {mark}"),
        ]


def _alerts(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    yield []
    if not frame["alerts"]:
        yield [(_GREEN, "no alerts")]
    for alert in frame["alerts"]:
        labels = " ".join(alert["labels"].values())
        value, bound = (figure(alert[key], alert["unit"]) for key in ("value", "bound"))
        since = time.strftime("%H:%M:%S", time.localtime(alert["since"]))
        text = f"ALERT {alert['rule']}  {labels}  {value}, bound {bound}, since {since}"
        yield [(_RED, _clean(text))]
    if frame["alerts_left_out"]:
        yield [(_RED, f"and {frame['alerts_left_out']} more alerts")]


def _caches(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    caches = frame["caches"]["rows"]
    n_levels = max((len(row["levels"]) for row in caches), default=0)
    head = ("CACHE", "HIT RATE", "LOOKUPS", "EVICTIONS", *["LEVEL"] * n_levels)
    for bar in _BARS:  # they give way before a number would be cut off
        rows = [
            (
                _name(row),
                figure(row["hit_ratio"], "ratio"),
                figure(row["lookups"], "1/s"),
                figure(row["evictions"], "1/s"),
                *(_level(level, bar) for level in row["levels"]),
            )
            for row in caches
        ]
        lines = list(_table(head, rows, frame["caches"]["left_out"], columns, left=4))
        if all(_width(text) <= columns for line in lines for _, text in line):
            break
    yield from lines


def _level(level: dict[str, Any], bar: int) -> str:
    entries, most = level["entries"], level["max_entries"]
    if not most or not bar:
        return f"{level['level']} {figure(entries, 'count')}"
    full = round(bar * min(1.0, (entries or 0.0) / most))
    return f"{level['level']} [{'#' * full}{'.' * (bar - full)}] {figure(entries, 'count')}"


def _workers(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    rows = [
        (
            _name(row),
            figure(row["tasks"], "1/s"),
            figure(row["mean"], "s"),
            figure(row["error_ratio"], "ratio"),
            figure(row["waiting"], "count"),
            figure(row["running"], "count"),
            " ".join(f"{figure(pool['workers'], 'count')} {pool['name']}" for pool in row["pools"]),
        )
        for row in frame["workers"]["rows"]
    ]
    head = ("PROCESSOR", "TASKS", "MEAN", "ERRORS", "WAITING", "RUNNING", "WORKERS")
    yield from _table(head, rows, frame["workers"]["left_out"], columns, left=6)


def _latencies(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    rows = [
        (
            _name(row),
            figure(row["count"], "count"),
            *(figure(row[key], "s") for key in ("p50", "p95", "p99", "max")),
        )
        for row in frame["latencies"]["rows"]
    ]
    head = ("LAST MINUTE", "COUNT", "P50", "P95", "P99", "LONGEST")
    yield from _table(head, rows, frame["latencies"]["left_out"], columns)


def _pools(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    rows = [
        (
            _name(row),
            *(figure(row[key], "count") for key in ("in_use", "idle")),
            figure(row["hit_ratio"], "ratio"),
            *(figure(row[key], "count") for key in ("created", "lost")),
        )
        for row in frame["pools"]["rows"]
    ]
    head = ("POOL", "LENT", "IDLE", "REUSED", "MADE", "LOST")
    yield from _table(head, rows, frame["pools"]["left_out"], columns)


def _process(frame: dict[str, Any], columns: int) -> Iterator[_Line]:
    facts = [f"{fact['title']} {figure(fact['value'], fact['unit'])}" for fact in frame["process"]]
    line = ""
    for fact in facts:
        if line and _width(line) + 3 + _width(fact) <= columns:
            line += f" | {fact}"
            continue
        yield [(_DIM, line)]  # the first time an empty one: a gap
        line = fact
    if line:
        yield [(_DIM, line)]


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    left_out: int,
    columns: int,
    left: int | None = None,
) -> Iterator[_Line]:
    """Yield rows under a head, numbers to the right; columns from `left` on are text."""
    if not rows:
        return
    rows = [[_clean(cell) for cell in row] for row in rows]
    widths = [
        max(_width(row[i]) if i < len(row) else 0 for row in (head, *rows))
        for i in range(len(head))
    ]
    # A long name gives way before figures do.
    widths[0] = min(widths[0], max(12, columns - sum(widths[1:]) - 2 * len(widths)))
    yield []
    for number, row in enumerate((head, *rows)):
        cells = []
        for i, cell in enumerate(row):
            cell = _cut(cell, widths[i])
            gap = " " * (widths[i] - _width(cell))
            is_text = i == 0 or (left is not None and i >= left)
            cells.append(cell + gap if is_text else gap + cell)
        yield [("" if number else _CYAN, "  ".join(cells).rstrip())]
    if left_out:
        yield [(_DIM, f"and {left_out} more")]


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']} {row['instance']}" if row.get("instance") else str(row["name"])


def figure(value: float | None, unit: str) -> str:
    """Return a number as people read it: `1,234/s`, `31.2 ms`, `89.3 %`; "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit in ("ratio", "%"):
        share = 100 * value if unit == "ratio" else value
        return f"{_digits(share, 2) if abs(share) < 1 else f'{share:.1f}'} %"
    if unit == "s":
        for factor, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
            if abs(value) >= factor:
                return f"{_digits(value / factor, 3)} {name}"
        return f"{_digits(value / 1e-9, 3)} ns" if value else "0 s"
    if unit == "bytes":
        power = min(int(math.log10(abs(value)) // 3), len(_BYTES) - 1) if abs(value) >= 1 else 0
        return f"{_digits(value / 1000**power, 3)} {_BYTES[power]}"
    return f"{_digits(value, 4)}{'/s' if unit == '1/s' else ''}"


def _digits(value: float, digits: int) -> str:
    """Round to so many digits, but never before the point."""
    if value == 0:
        return "0"
    after = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{after}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _width(text: Iterable[str]) -> int:
    return sum(_cells(each) for each in text)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _cut(text: str, width: int) -> str:
    """Return what fits."""
    if _width(text) <= width:
        return text
    kept, used = "", 0
    for each in text:
        used += _cells(each)
        if used > width:
            break
        kept += each
    return kept
