"""The comparison with bare clients of servers: every section runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raudo.cli import main
from raudo.cli._bench_growth import SECTIONS


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert main(["bench", "growth", "--quick", "--only", section, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["rows"]
    for each in found["rows"]:
        assert all(value > 0 for value in each["values"].values())
    assert "Where a peer beats raudo" in capsys.readouterr().out
