from typing import Any

def outruns_float32() -> bool: ...
def n_groups(kind: int, d: int) -> int: ...
def copy_rows(
    rows: Any,
    positions: Any,
    shift: Any,
    kind: int,
    form: int,
    panels: Any,
    scale: Any,
    bias: Any,
    spread: Any,
) -> None: ...
def nearest_panels(
    queries: Any,
    rows: Any,
    panels: Any,
    scale: Any,
    bias: Any,
    spread: Any,
    ids: Any,
    allowed: Any,
    first_panel: int,
    end: int,
    kind: int,
    form: int,
    row_kernel: int,
    shift: Any,
    scores: Any,
    found: Any,
) -> None: ...
