"""Functions that make a hashable key of a call's arguments."""

from __future__ import annotations

from raudo._core.compat_memo import hashkey, methodkey, typedkey, typedmethodkey

__all__ = ["hashkey", "methodkey", "typedkey", "typedmethodkey"]
