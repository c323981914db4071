"""A test that asks for `isa` runs once on each instruction set of the processor."""

import pytest

from raudo._core import kernels


@pytest.fixture(params=kernels.available_isas())
def isa(request):
    """Force an instruction set for one test."""
    before = kernels.isa()
    kernels.force_isa(request.param)
    yield request.param
    kernels.force_isa(before)
