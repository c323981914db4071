"""The comparison of exports: every section runs, and all that is compared writes the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.sections import run_section
from raudo.cli._bench_export import SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, text = run_section("export", section, tmp_path, capsys)
    assert all(value > 0 for values in rows for value in values.values())
    assert "Bars:" in text or section == "columns"
