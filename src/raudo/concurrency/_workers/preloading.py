"""What the fork server is to import, so that its workers need not, one by one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from raudo.concurrency._workers.main_module import find_main, main_is_guarded
from raudo.concurrency._workers.server import Preload

__all__ = ["preload_for"]

# A program that uses it has its workers use it, and it is safe to import in the server: it starts
# no thread that a fork would lose, and nobody edits and reloads it.
_SLOW_TO_IMPORT = ("numpy",)


def preload_for(fn: Callable[..., Any]) -> Preload:
    """Return what workers that run `fn` need: its module, or the script if that is where it is.

    Not where there is no script, but a prompt or a notebook: there, modules are edited and loaded
    again, and the server would hold on to what they were.
    """
    modules = [each for each in _SLOW_TO_IMPORT if each in sys.modules]
    script = find_main()
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__module__", None)
    if name in ("__main__", "__mp_main__"):
        return Preload(script if main_is_guarded() else None, tuple(modules))
    if script is not None and getattr(sys.modules.get(name or ""), "__spec__", None) is not None:
        modules.append(str(name))
    return Preload(None, tuple(modules))
