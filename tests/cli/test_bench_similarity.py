"""The comparison of the similarity room: wrong answers are found, every section runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.sections import run_section
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
    rows, text = run_section("similarity", section, tmp_path, capsys)
    assert all(value >= 0 for values in rows for value in values.values())
    assert "Where a peer beats raudo" in text
