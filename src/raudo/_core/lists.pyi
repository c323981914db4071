from typing import Any, final

@final
class Lists:
    n_lists: int
    def __init__(
        self,
        copies: Any,
        sketches: Any,
        rows: Any,
        ids: Any,
        chains: Any,
        centres: Any,
        centre_copies: Any,
        row_kernel: int,
        centre_kernel: int,
        row_norm: float,
    ) -> None: ...
    def search(
        self,
        queries: Any,
        n_near: int,
        margin: float,
        allowed: Any,
        by_position: bool,
        scores: Any,
        found: Any,
    ) -> None: ...

def sum_rows(rows: Any, owners: Any, sums: Any) -> None: ...
