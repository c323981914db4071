"""Runs one section of a comparison, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raudo.cli import main


def run_section(
    room: str, section: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[list[dict[str, Any]], str]:
    """Return the values of each row, of which there is one at least, and what was printed."""
    path = folder / "out.json"
    assert main(["bench", room, "--quick", "--only", section, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert rows
    return [row["values"] for row in rows], capsys.readouterr().out
