from typing import Any

def n_bytes(d: int) -> int: ...
def sketch_rows(
    rows: Any,
    owners: Any,
    positions: Any,
    centres: Any,
    shift: Any,
    form: int,
    codes: Any,
    along: Any,
    across: Any,
) -> None: ...
