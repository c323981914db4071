"""Finds out how a worker can import the program's `__main__`, if it can at all."""

from __future__ import annotations

import os
import sys

from raudo.concurrency._workers import worker
from raudo.concurrency._workers.worker import MainModule

__all__ = ["find_main", "main_is_guarded"]

_FOLDER_AT_START = os.getcwd() if os.path.isdir(os.curdir) else ""


def find_main() -> MainModule | None:
    """Return how to import `__main__`; None in a REPL, in a notebook or for a script on stdin."""
    if worker.is_worker() and worker.main_module() is not None:
        return worker.main_module()
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
