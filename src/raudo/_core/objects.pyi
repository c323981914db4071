from typing import Any

def deep_size(obj: object) -> int:
    """Return the bytes behind an object: its own and those of all that it refers to, each once.

    As `sys.getsizeof` has them, so that what a C extension holds counts where its `__sizeof__` says
    so. Classes, modules, functions and code belong to the program and do not count. Some 50 ns an
    object; nesting has no limit.
    """

def common_keys(rows: list[Any]) -> tuple[str, ...] | None:
    """Return the keys that all of the rows have, in the same order, as a tuple; or None.

    None also where a row is no exact dict, or a key no exact str. Runs no code of theirs.
    """
