from collections.abc import Sequence

from typing_extensions import disjoint_base

from raudo._core.policy import Policy

@disjoint_base
class Learned(Policy):
    """Learns when keys are used again, and drops what is least likely to be soon."""

def worth_of(hazards: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return the worth of an age cell each, from the hazards and widths of them all.

    Hazards are chances of a return within a cell, widths the requests that it covers; ValueError
    unless there is one of each for every cell.
    """
