"""The comparison of the memory room: every section runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.sections import run_section
from raudo.cli._bench_memory_room import SECTIONS


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, text = run_section("memory", section, tmp_path, capsys)
    assert all(value >= 0 for values in rows for value in values.values())
    assert "Where a peer beats raudo" in text
