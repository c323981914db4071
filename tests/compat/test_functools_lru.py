"""CPython's own tests of `functools.lru_cache`, run over `raudo.lru_cache`.

Only the import is changed: the module under test is a copy of `functools` with our `lru_cache`.
"""

from __future__ import annotations

import functools
import os
import sys
import types
import unittest
import unittest.mock
from typing import Any

import pytest

from raudo import lru_cache

try:
    from test import test_functools as original
except ImportError:
    if "CI" in os.environ:
        raise
    pytest.skip(
        f"this Python {sys.version.split()[0]} comes without its `test` package",
        allow_module_level=True,
    )


def a_functools_with(ours: Any) -> types.ModuleType:
    module = types.ModuleType("functools")
    module.__dict__.update(functools.__dict__)
    module.lru_cache = ours  # type: ignore[attr-defined]
    module.cache = lambda fn, /: ours(maxsize=None)(fn)  # type: ignore[attr-defined]
    return module


module = a_functools_with(lru_cache)


# The tests reach for these names of their own module when they pickle.
@lru_cache()
def c_cached_func(x: Any, y: Any) -> Any:
    return 3 * x + y


class TestLRURaudo(original.TestLRUC):  # type: ignore[misc, name-defined]
    """TestLRUC with the import changed; the class-level decorations are made again with ours."""

    module = module

    @classmethod
    def setUpClass(cls) -> None:
        # What the tests ask of the C implementation alone is asked of ours too.
        cls.enterClassContext(unittest.mock.patch.object(original, "c_functools", module))

    cached_func = (c_cached_func,)

    @lru_cache()
    def cached_meth(self, x: Any, y: Any) -> Any:
        return 3 * x + y

    @staticmethod
    @lru_cache()
    def cached_staticmeth(x: Any, y: Any) -> Any:
        return 3 * x + y


def test_every_test_of_the_original_is_run() -> None:
    loader = unittest.TestLoader()
    names = set(loader.getTestCaseNames(TestLRURaudo))
    assert names >= set(loader.getTestCaseNames(original.TestLRUC))
    assert len(names) > 20
