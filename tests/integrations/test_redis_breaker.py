"""One server's breaker, by a clock to turn."""

import types

import pytest

from raudo.errors import ServerUnavailable
from raudo.integrations import _redis_breaker
from raudo.integrations._redis_breaker import Breaker


class Asked:
    """Calls a server that answers or not, and says what became of that."""

    def __init__(self, monkeypatch):
        self.now, self.breaker = 1000.0, Breaker()
        monkeypatch.setattr(
            _redis_breaker, "time", types.SimpleNamespace(monotonic=lambda: self.now)
        )

    def call(self, error=None):
        try:
            with self.breaker.watched():
                if error is not None:
                    raise error
        except ServerUnavailable as caught:
            return "failed" if caught.was_asked else "rests"
        except OSError:
            return "failed"
        return "answered"


def test_a_server_rests_longer_each_time_and_one_call_tries_it(monkeypatch):
    asked = Asked(monkeypatch)
    assert asked.call() == "answered"
    for rest_s in (1.0, 2.0, 4.0, 4.0):
        assert asked.call(TimeoutError()) == "failed"
        asked.now += rest_s - 0.01
        assert asked.call() == "rests"
        asked.now += 0.01
    assert asked.call() == "answered"
    assert asked.call() == "answered"
    assert asked.call(ConnectionError()) == "failed"
    asked.breaker.reset()
    assert asked.call() == "answered"


def test_while_one_tries_the_others_wait_and_those_of_before_do_not_count(monkeypatch):
    asked = Asked(monkeypatch)
    with pytest.raises(TimeoutError), asked.breaker.watched():
        asked.now += 0.2
        assert asked.call(TimeoutError()) == "failed"
        raise TimeoutError  # of a call that began before: no longer rest
    asked.now += 1.0
    with asked.breaker.watched():
        assert asked.call() == "rests"
    assert asked.call() == "answered"


def test_what_is_no_loss_of_the_server_opens_nothing(monkeypatch):
    asked = Asked(monkeypatch)
    with pytest.raises(KeyError):
        asked.call(KeyError())
    assert asked.call() == "answered"
