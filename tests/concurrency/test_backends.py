"""The contract of engines, for this machine's own; and how engines are found."""

from __future__ import annotations

from typing import Any

import pytest

from concurrency.leaks import nothing_left_behind
from raudo import parallel_map
from raudo.concurrency.backends import Backend, Settings, open_backend
from raudo.concurrency.backends.local import LocalBackend
from raudo.testing import BackendContract

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)


class TestLocal(BackendContract):
    backend = "local"


@pytest.mark.parametrize(("kind", "most"), [("thread", 2), ("process", 1)])
def test_settings_bound_this_machine(kind: Any, most: int) -> None:
    assert open_backend("local", Settings(2, 1)).slots(kind) == most


def test_an_unknown_engine_is_refused_with_a_list() -> None:
    with pytest.raises(ValueError, match=r"'dask'.*'local'"):
        open_backend("cloud", Settings(1, 1))
    with pytest.raises(TypeError, match="backend is int"):
        open_backend(3, Settings(1, 1))


def test_an_engine_may_be_made_by_a_function() -> None:
    made: list[Settings] = []

    def make(settings: Settings) -> Backend:
        made.append(settings)
        return LocalBackend(settings)

    assert parallel_map(abs, [-1, 2], 3, backend=make) == [1, 2]
    assert made[0].most_at_once == 3
