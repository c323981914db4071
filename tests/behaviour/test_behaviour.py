"""What goes wrong in workers harms nobody else: each case in a process of its own, watched."""

from __future__ import annotations

import json

import pytest

from behaviour import table
from behaviour.cases import CASES, OURS_ONLY
from behaviour.cell import measure
from behaviour.tools import OURS

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("case", [*CASES, *OURS_ONLY])
def test_raudo_does_as_the_readme_says(case: str) -> None:
    said = json.loads(table.MEASURED.read_text())[OURS][case]
    assert measure(OURS, case, 60.0) == said == "yes"


def test_the_readme_shows_what_was_measured() -> None:
    assert table.in_readme() == table.render(json.loads(table.MEASURED.read_text()))
