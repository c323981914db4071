"""The comparison of exports: every section runs, and all that is compared writes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raudo.cli import main
from raudo.cli._bench_export import SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert main(["bench", "export", "--quick", "--only", section, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["rows"]
    for each in found["rows"]:
        assert all(value > 0 for value in each["values"].values())
    assert "Bars:" in capsys.readouterr().out or section == "columns"
