"""What parallel maps and executors refuse."""

from __future__ import annotations

import pytest

from raudo import ParallelExecutor, parallel_map


async def coroutine_function(x: int) -> int:
    return x


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(TypeError, match=r"coroutine_function.*AsyncProcessor"):
        parallel_map(coroutine_function, [1])
    with ParallelExecutor(1, 1) as executor:
        with pytest.raises(TypeError, match="coroutine function"):
            executor.submit(coroutine_function, 1)
        with pytest.raises(TypeError, match="coroutine function"):
            executor.map(coroutine_function, [1])
