"""The comparison of caches as text: tables, ratios, and where raudo loses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raudo.cli._bench_cache import OPERATIONS
from raudo.cli._bench_peers import PEERS

__all__ = ["losses", "render"]

# What a column is compared with: there is no eviction and no memoising in a dict.
_BASE = {"insert+evict": "functools.lru_cache", "memo hit": "functools.lru_cache"}
_OURS = {peer.name for peer in PEERS if peer.ours}
_TIE = 1.05  # two medians nearer than this are the same on a machine that others use too


def _base(operation: str) -> str:
    return _BASE.get(operation, "dict")


def _cell(table: Mapping[str, Any], name: str, operation: str) -> str:
    found = table["ns"][name].get(operation)
    if found is None:
        return "-"
    base = table["ns"].get(_base(operation), {}).get(operation)
    ratio = f" {found['median'] / base['median']:5.2f}x" if base and base["median"] else ""
    return f"{found['median']:7.1f}{ratio}"


def _rows(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, ["-" * width for width in widths], *rows]:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([first, *rest])


def losses(result: Mapping[str, Any]) -> list[str]:
    """Name every column in which a bounded cache of another library beats raudo's default."""
    found = []
    for table in result["tables"]:
        for operation in OPERATIONS:
            medians = {
                name: each[operation]["median"]
                for name, each in table["ns"].items()
                if operation in each and name != "dict"
            }
            ours = medians.get("raudo")
            rivals = {name: value for name, value in medians.items() if name not in _OURS}
            if ours is None or not rivals:
                continue
            best = min(rivals, key=lambda name: rivals[name])
            if ours > rivals[best] * _TIE:
                found.append(
                    f"{table['title']}, {operation}: raudo {ours:.1f} ns, "
                    f"{best} {rivals[best]:.1f} ns ({ours / rivals[best]:.2f}x)"
                )
    weights = result["bytes"]["per_entry"]
    rivals = {name: each for name, each in weights.items() if name not in _OURS and name != "dict"}
    best = min(rivals, key=lambda name: rivals[name])
    if weights["raudo"] > rivals[best] * _TIE:
        found.append(f"bytes an entry: raudo {weights['raudo']}, {best} {rivals[best]}")
    return found


def render(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report, line by line."""
    machine = result["machine"]
    yield f"$ {result['command']}"
    yield f"{machine['python']} ({machine['compiler']}), {machine['system']}"
    yield f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load']} at the start"
    yield ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    yield ""
    yield "Nanoseconds a call: the median round, the empty loop subtracted, the collector off, keys"
    yield "equal to those stored but other objects, in random order. Ratios are to dict; those of"
    yield "insert+evict and memo hit to functools.lru_cache, whose insert includes calling bool()."
    for table in result["tables"]:
        yield ""
        yield (
            f"{table['title']} ({table['rounds']} rounds of {table['calls_a_round']:,} calls; "
            f"empty loop {table['loop_ns']} ns)"
        )
        rows = [
            [name, *(_cell(table, name, operation) for operation in OPERATIONS)]
            for name in table["ns"]
        ]
        yield from _rows(["", *OPERATIONS], rows)
        for name, complaint in table["wrong"].items():
            yield f"{name}: not timed, {complaint}"
    weights = result["bytes"]["per_entry"]
    yield ""
    yield (
        f"Bytes an entry: growth of a process that holds {result['bytes']['n_entries']:,} int "
        "keys; keys and values not counted"
    )
    base = weights["dict"] or 1.0
    yield from _rows(
        ["", "bytes", "x dict"],
        [[name, f"{each:.1f}", f"{each / base:.2f}"] for name, each in weights.items()],
    )
    yield ""
    lost = losses(result)
    yield "Where another cache beats raudo's default strategy by more than 5 %:"
    yield from (f"  {line}" for line in lost or ["nowhere"])
