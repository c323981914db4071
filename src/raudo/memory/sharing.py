"""Dicts that share their keys, as the `__dict__`s of a class's instances do (PEP 412)."""

from __future__ import annotations

from typing import Any

__all__ = ["KeySharing"]

_MOST_KEYS = 30  # CPython's own bound (SHARED_KEYS_MAX_SIZE)
_MOST_SHAPES = 1000
# Keys that are shared take a class; fewer dicts of a shape would not pay for it.
_FEWEST_DICTS = 8


class KeySharing:
    """Makes dicts of the same keys share them, once there are some."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, ...], Any] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def share(self, fresh: dict[Any, Any]) -> dict[Any, Any]:
        """Return an equal dict, smaller if that can be; a new one, or `fresh` itself."""
        keys = tuple(fresh)
        if not 0 < len(keys) <= _MOST_KEYS or not all(type(key) is str for key in keys):
            return fresh
        count = self._counts.get(keys, 0)
        if count < _FEWEST_DICTS:
            if len(self._counts) < _MOST_SHAPES and all(map(_is_attribute, keys)):
                self._counts[keys] = count + 1
            return fresh
        holder = self._class_of(keys)()
        for key, value in fresh.items():
            setattr(holder, key, value)
        shared: dict[Any, Any] = holder.__dict__
        return shared if shared.__sizeof__() < fresh.__sizeof__() else fresh

    def _class_of(self, keys: tuple[str, ...]) -> Any:
        made = self._classes.get(keys)
        if made is None:
            made = self._classes[keys] = type("Shape", (), {})
        return made


def _is_attribute(key: str) -> bool:
    return key.isidentifier() and not key.startswith("__")  # __class__ would do more than be set
