"""What all benchmarks share: sizes, and a small form of them for a check that they run.

With `--benchmark-disable` (`make bench-check`) the sizes shrink, so that every benchmark runs once
in a moment; figures are worth printing with the full sizes and on a quiet machine only.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def sized(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return a function that shrinks a size where nothing is measured."""
    small = request.config.getoption("benchmark_disable", default=False)
    return lambda size: max(16, size // 1000) if small else size
