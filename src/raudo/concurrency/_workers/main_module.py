"""The program's `__main__` and its workers: how they can import it, if at all, and when they do.

A worker runs the program's script only when a task names something in it: until then a stand-in is
its `__main__`. Everything here is per process.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any, NamedTuple

__all__ = [
    "MainModule",
    "find_main",
    "import_main",
    "is_importing_main",
    "main_is_guarded",
    "stand_in_for",
]

_FOLDER_AT_START = os.getcwd() if os.path.isdir(os.curdir) else ""


class MainModule(NamedTuple):
    """How to import the program's `__main__` under another name: by module name or by path."""

    name: str | None = None
    path: str | None = None


_given: MainModule | None = None  # in a worker: the program's, as it was told
_imported: MainModule | None = None
_is_importing = False


# --- in the program ---------------------------------------------------------------------------


def find_main() -> MainModule | None:
    """Return how to import `__main__`; None in a REPL, in a notebook or for a script on stdin."""
    if _given is not None:
        return _given
    module = sys.modules.get("__main__")
    if module is None:
        return None
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name is not None:
        return MainModule(name=spec.name)
    path = getattr(module, "__file__", None)
    if path is None or not os.path.isfile(os.path.join(_FOLDER_AT_START, path)):
        return None
    return MainModule(path=os.path.join(_FOLDER_AT_START, path))


def main_is_guarded() -> bool:
    """Say whether importing the program's script elsewhere would only define things.

    A script that never mentions `__name__` has no `if __name__ == "__main__":`, and would do all of
    its work again in each worker.
    """
    found = find_main()
    if found is None:
        return False
    path = found.path or getattr(sys.modules["__main__"], "__file__", None)
    if path is None:
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as script:
            return "__name__" in script.read()
    except OSError:
        return False


# --- in a worker ------------------------------------------------------------------------------


class _NotImported(types.ModuleType):
    """Stands for `__main__`, and runs the program's script once something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or _given is None or _is_importing:
            raise AttributeError(f"module '__main__' has no attribute {name!r}")
        import_main(_given)
        return getattr(sys.modules["__main__"], name)


def stand_in_for(main: MainModule) -> None:
    """Have `__main__` be the program's, once something of it is wanted."""
    global _given
    _given = main
    if main != _imported:
        sys.modules["__main__"] = sys.modules["__mp_main__"] = _NotImported("__main__")


def import_main(main: MainModule) -> None:
    """Run the program's script as `__mp_main__`, as multiprocessing does, once."""
    global _is_importing, _imported
    if main == _imported:
        return
    from multiprocessing import spawn

    key = "init_main_from_name" if main.name is not None else "init_main_from_path"
    _is_importing = True
    try:
        spawn.prepare({key: main.name if main.name is not None else main.path})
    finally:
        _is_importing = False
    _imported = main


def is_importing_main() -> bool:
    """Say whether this process is a worker that just runs the program's script to import it."""
    return _is_importing
