"""The Redis tier passes the contract of shared levels."""

import pytest

from raudo.integrations.redis import RedisTier
from raudo.testing import SharedTierContract

pytestmark = pytest.mark.timeout(60)


class TestRedis(SharedTierContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.url = redis_server.url

    def make_tier(self, space):
        return RedisTier(self.url, namespace=space, timeout=5.0)
