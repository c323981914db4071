"""What is found below memory."""

from __future__ import annotations

from typing import NamedTuple

from raudo.cache.guard import Guard
from raudo.types import Blob

__all__ = ["Fetched"]


class Fetched(NamedTuple):
    """A blob from below, without its signature, and the tier that it is from."""

    blob: Blob
    guard: Guard
    is_trusted: bool
