"""Locks after a fork: a thread of the parent may hold one, and never lets go of it in the child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["reset_after_fork"]


class _Resettable(Protocol):
    def _after_fork(self) -> None:
        """Replace the locks; called in the child, which has one thread."""


_registered: weakref.WeakSet[_Resettable] = weakref.WeakSet()


def reset_after_fork(owner: _Resettable) -> None:
    """Have the owner's locks replaced in every child, while it is alive."""
    _registered.add(owner)


def _reset() -> None:
    for owner in list(_registered):
        owner._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
