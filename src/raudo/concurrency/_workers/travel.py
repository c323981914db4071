"""Whether a call may move to another process without the caller asking for it by name.

It may when the function can be imported there by its name and the arguments are data. Closures,
lambdas and bound methods hold state of this process, which a copy elsewhere would not share.
"""

from __future__ import annotations

import functools
import pickle
import sys
from types import BuiltinFunctionType, BuiltinMethodType, MethodType, ModuleType
from typing import Any

from raudo.concurrency._workers.main_module import main_is_guarded

__all__ = ["arguments_pickle", "why_it_stays"]

_ATOMS = frozenset({int, float, complex, bool, type(None), str, bytes, bytearray, range})
_MAX_LOOKED_AT = 16  # elements of a container that are looked at before pickling it decides


def why_it_stays(fn: object) -> str | None:
    """Return why a function may not move, or None if it may."""
    if isinstance(fn, functools.partial):
        if not all(map(arguments_pickle, (*fn.args, *fn.keywords.values()))):
            return "its bound arguments do not pickle"
        return why_it_stays(fn.func)
    if isinstance(fn, MethodType):
        return "it is a bound method"
    if isinstance(fn, BuiltinFunctionType | BuiltinMethodType):
        owner = fn.__self__
        if owner is not None and not isinstance(owner, ModuleType | type):
            return "it is a bound method"
    name = getattr(fn, "__qualname__", None)
    module_name = getattr(fn, "__module__", None)
    if name is None:
        return "it is a callable object"
    if "<lambda>" in name:
        return "it is a lambda"
    if "<locals>" in name:
        return "it is a closure"
    module = sys.modules.get(module_name or "builtins")
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not fn:
        return f"it is not what the name {module_name}.{name} leads to"
    if module_name == "__main__" and not main_is_guarded():
        return 'its script has no `if __name__ == "__main__":`, so that no worker can import it'
    if module_name not in ("__main__", "__mp_main__") and not _is_importable(module):
        return f"its module {module_name} has no file to import"
    return None


def _is_importable(module: ModuleType | None) -> bool:
    """Say whether a fresh process would find the module; one made by hand has no spec."""
    return module is not None and getattr(module, "__spec__", None) is not None


def arguments_pickle(value: object) -> bool:
    """Say whether `value` pickles; cheap for plain data, a trial for the rest."""
    if _is_plain(value, 3):
        return True
    try:
        pickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception:  # whatever a user's __reduce__ raises
        return False
    return True


def _is_plain(value: object, depth: int) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind.__module__ == "numpy":
        dtype = getattr(value, "dtype", None)
        return dtype is not None and not dtype.hasobject
    if depth == 0 or kind not in (tuple, list, set, frozenset, dict):
        return False
    if len(value) > _MAX_LOOKED_AT:  # type: ignore[arg-type]
        return False
    parts = (*value, *value.values()) if isinstance(value, dict) else value
    return all(_is_plain(each, depth - 1) for each in parts)  # type: ignore[attr-defined]
