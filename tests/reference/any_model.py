"""Any order will do: for policies whose choice has no short model."""

from __future__ import annotations

from collections.abc import Hashable

from reference.fifo_model import FifoModel


class AnyModel(FifoModel):
    name = "any"
    ordered = False

    def victim(self) -> Hashable:
        return ANYONE


class _Anyone:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANYONE = _Anyone()
