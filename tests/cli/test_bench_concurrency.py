"""The comparison of the concurrency room: bars and losses are judged right, every section runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.sections import run_section
from raudo.cli import main
from raudo.cli._bench_concurrency import SECTIONS
from raudo.cli._bench_rows import Row, race, render


def row(ours: float, rival: float, **more: object) -> Row:
    return Row("calls", "one", "ns", {"raudo": ours, "rival": rival}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "is_met"),
    [
        (row(10, 40, times_better=4), True),
        (row(10, 39, times_better=4), False),
        (row(40, 10, times_better=4, is_less_better=False), True),
        (row(10, 40, at_most=10), True),
        (row(11, 40, at_most=10), False),
        (row(11, 40, at_least=11), True),
        (row(11, 40, at_least=12), False),
        (row(10, 40, times_better={"rival": 4, "absent": 9}), True),
        (row(10, 40, times_better={"rival": 5}), False),
        (Row("t", "c", "ns", {"raudo": 10, "a": 50, "b": 20}, 4, rivals=("a",)), True),
        (Row("t", "c", "ns", {"raudo": 10, "a": 50, "b": 20}, 4), False),
    ],
)
def test_bars_are_judged_against_the_best_rival(made: Row, is_met: bool) -> None:
    assert [bar.met for bar in made.bars()] == [is_met]
    assert ("MISSED" in "\n".join(render([made]))) is not is_met


def test_without_its_rival_a_bar_says_nothing() -> None:
    made = Row("t", "c", "ns", {"raudo": 10}, 4)
    assert made.bars() == []
    assert made.loss() is None


def test_losses_are_named_and_ties_are_not() -> None:
    assert "rival 40" in str(row(50, 40).loss())
    assert row(42, 40).loss() is None
    assert row(50, 40, is_less_better=False).loss() is None
    assert "nowhere" in list(render([row(10, 40)]))[-1]


def test_our_other_ways_are_no_rivals() -> None:
    made = Row("t", "c", "ns", {"raudo": 10, "raudo, isolate=True": 5, "rival": 20}, 2)
    assert made.best_rival == "rival"
    assert made.loss() is None


def test_a_subject_that_failed_is_shown() -> None:
    text = "\n".join(render([row(1, 2, failed={"other": "it hung"})]))
    assert "other failed: it hung" in text


def test_several_bars_are_judged_each() -> None:
    made = row(10, 40, times_better={"rival": 4}, at_most=9)
    assert [bar.met for bar in made.bars()] == [False, True]


def test_the_best_pass_is_shown_beside_the_median() -> None:
    text = "\n".join(render([row(1.5, 3, best={"raudo": 1.25, "rival": 2.5})]))
    assert "1.5 | 1.25" in text
    assert "3 | 2.5 (2x)" in text


def test_a_row_survives_json() -> None:
    made = row(1, 2, times_better=2, rivals=["rival"], note="one", best={"raudo": 0.5})
    assert Row.of_json(json.loads(json.dumps(made.as_json()))) == made


def test_a_race_calls_each_once_a_round() -> None:
    calls = {"a": 0, "b": 0}

    def contender(name: str) -> float:
        calls[name] += 1
        return calls[name] * 1.0

    found = race({name: lambda name=name: contender(name) for name in calls}, rounds=3)  # type: ignore[misc]
    assert calls == {"a": 4, "b": 4}
    assert found == {"a": 3.0, "b": 3.0}


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, text = run_section("concurrency", section, tmp_path, capsys)
    for values in rows:
        assert values["raudo"] > 0
        assert all(value >= 0 for value in values.values())
    assert "Where a peer beats raudo" in text


def test_a_section_of_another_comparison_is_refused() -> None:
    with pytest.raises(SystemExit, match="concurrency has no section hot"):
        main(["bench", "concurrency", "--quick", "--only", "hot"])
