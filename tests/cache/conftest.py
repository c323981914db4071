"""A clock that stands still, and a small cache that evicts by last use."""

import pytest

from raudo.cache import SmartCache
from raudo.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def lru(clock):
    """Two entries in L1, two in L2, two in L3."""
    with SmartCache(6, "lru", levels=(1, 1, 1), clock=clock) as cache:
        yield cache
