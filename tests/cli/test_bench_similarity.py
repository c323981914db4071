"""The comparison of the similarity room: wrong answers are found, every section runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raudo.cli import main
from raudo.cli._bench_similarity import SECTIONS
from raudo.cli._bench_vectors import measure


def test_a_subject_that_gives_wrong_answers_is_named_and_not_timed() -> None:
    def check(name: str, given: int) -> None:
        assert given == 1, f"{name} gave {given}"

    outcome = measure({"raudo": lambda: 1, "rival": lambda: 2}, check, 2)
    assert "rival gave 2" in outcome.failed.pop("rival")
    assert not outcome.failed
    assert set(outcome.median) == set(outcome.best) == {"raudo"}


def test_a_wrong_answer_of_ours_ends_the_comparison() -> None:
    def check(name: str, given: int) -> None:
        assert given == 1, f"{name} gave {given}"

    with pytest.raises(AssertionError, match="raudo gave 2"):
        measure({"raudo": lambda: 2, "rival": lambda: 1}, check, 2)


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert main(["bench", "similarity", "--quick", "--only", section, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["rows"]
    for each in found["rows"]:
        assert all(value >= 0 for value in each["values"].values())
    assert "Where a peer beats raudo" in capsys.readouterr().out
