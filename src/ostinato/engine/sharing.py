"""This module divides the slots of a limit among the coordinators that want some of it.

Every coordinator decides for itself, from the same rows, how much of a limit is its due; what
is above it, it gives back as soon as it is free. So nobody waits for a referee, and who is
slow or wrong about the others can only be unfair: that no more is handed out than there is, is
the business of the transaction in which a coordinator takes more.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """What one coordinator wants of a limit.

    Attributes:
        holder: Who.
        wanted: Slots that it could use: taken ones, and those that its task runs wait for.
        least: The fewest with which one of those that wait can start; 0 if none waits.
        served_us: When it got slots the last time; 0 for never.
    """

    holder: int
    wanted: int
    least: int
    served_us: int


def divide(slots: int, claims: Sequence[Claim]) -> dict[int, int]:
    """Return the due of each claim.

    First each in turn gets what lets it start something, who was served longest ago before the
    others: where there is too little for all, all come to have it by turns. What is left is
    spread evenly among those that want more (max-min fairness: Bertsekas and Gallager, "Data
    Networks", 6.5.2), and what nobody wants as well, so that a later wish needs no asking.

    Args:
        slots: How many there are.
        claims: Of those that want or hold some, one each.
    """
    in_turn = sorted(claims, key=lambda claim: (claim.served_us, claim.holder))
    dues = dict.fromkeys((claim.holder for claim in in_turn), 0)
    left = max(slots, 0)
    for claim in in_turn:
        if 0 < claim.least <= left:
            dues[claim.holder] = claim.least
            left -= claim.least
    left = _spread(left, {claim.holder: claim.wanted for claim in in_turn}, dues)
    _spread(left, dict.fromkeys(dues, slots), dues)
    return dues


def _spread(left: int, wanted: dict[int, int], dues: dict[int, int]) -> int:
    """Raise the lowest dues as evenly as what is wanted allows, and return what is left over."""
    while left > 0:
        open_ = [holder for holder in dues if dues[holder] < wanted[holder]]
        if not open_:
            return left
        lowest = min(dues[holder] for holder in open_)
        level = [holder for holder in open_ if dues[holder] == lowest]
        above = [dues[holder] for holder in open_ if dues[holder] > lowest]
        step = min([*(wanted[holder] - lowest for holder in level), *(a - lowest for a in above)])
        step = min(step, left // len(level))
        if step == 0:
            for holder in level[:left]:
                dues[holder] += 1
            return 0
        for holder in level:
            dues[holder] += step
        left -= step * len(level)
    return left
