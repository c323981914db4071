"""The memory room's tests freeze and thaw themselves."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _collector() -> None:
    """Freeze nothing here."""


@pytest.fixture(autouse=True, scope="module")
def _thawed() -> None:
    gc.unfreeze()
    gc.collect()  # what earlier tests dropped is finalised before, not in the middle of a test
