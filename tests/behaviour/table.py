"""The README's table of behaviours: measures every cell, keeps them in `measured.json`, renders.

cd tests && python -m behaviour.table               # measure all; some minutes
cd tests && python -m behaviour.table raudo pebble  # measure these again
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from behaviour.cases import CASES, OURS_ONLY
from behaviour.cell import measure
from behaviour.tools import OURS, TOOLS, installed

__all__ = ["MEASURED", "README", "in_readme", "render"]

MEASURED = Path(__file__).with_name("measured.json")
README = Path(__file__).parents[2] / "README.md"
_BEGIN, _END = "<!-- behaviour: begin -->\n", "<!-- behaviour: end -->\n"

Cells = Mapping[str, Mapping[str, str]]


def render(cells: Cells) -> str:
    """Return the table; `cells[tool][case]` is "yes" or what was seen instead."""
    tools = [name for name in TOOLS if name in cells]
    lines = [
        "| | " + " | ".join(f"**{name}**" if name == OURS else name for name in tools) + " |",
        "|---" * (len(tools) + 1) + "|",
    ]
    for case, (what, _) in {**CASES, **OURS_ONLY}.items():
        found = [cells[tool].get(case, "-") for tool in tools]
        lines.append(f"| {what} | " + " | ".join(found) + " |")
    return "\n".join(lines) + "\n"


def in_readme() -> str:
    """Return the table that stands there."""
    return README.read_text().split(_BEGIN)[1].split(_END)[0]


def _name_of(tool: str) -> str:
    try:
        return f"{tool} {version(TOOLS[tool][0])}"
    except PackageNotFoundError:
        return f"{tool} of Python {sys.version.split()[0]}"


def main() -> None:
    chosen = sys.argv[1:] or installed()
    cells: dict[str, dict[str, str]] = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for tool in chosen:
        cells[tool] = {}
        for case in {**CASES, **OURS_ONLY} if tool == OURS else CASES:
            cells[tool][case] = measure(tool, case)
            print(f"{_name_of(tool)}, {case}: {cells[tool][case]}", flush=True)
    MEASURED.write_text(json.dumps(cells, indent=1) + "\n")
    before, rest = README.read_text().split(_BEGIN)
    README.write_text(before + _BEGIN + render(cells) + _END + rest.split(_END)[1])


if __name__ == "__main__":
    main()
