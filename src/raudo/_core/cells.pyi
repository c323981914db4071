def pick(
    text: bytes,
    at: int,
    number: int,
    wanted: tuple[int, ...],
    most: int,
    delimiter: str,
    is_quoted: bool,
    most_bytes: int,
    numbers: list[int],
    cells: tuple[list[str | None], ...],
) -> tuple[int, int]: ...
