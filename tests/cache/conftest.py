"""A clock that stands still, a small cache that evicts by last use, and a tier on the disk."""

import pytest

from raudo.cache import SmartCache
from raudo.cache.tiers import DiskTier
from raudo.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def lru(clock):
    """Two entries in L1, two in L2, two in L3."""
    with SmartCache(6, "lru", levels=(1, 1, 1), clock=clock) as cache:
        yield cache


@pytest.fixture
def tier(tmp_path):
    made = DiskTier(tmp_path / "tier")
    yield made
    made.close()
