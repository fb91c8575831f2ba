"""Members of an ensemble in turn: each step asks some of them (the longitudinal attack; Li et al., 2020).

Where copies of the image take turns, too, the members' turn is shifted by one as often as both would repeat, so that
each member sees each copy.
"""

from dataclasses import dataclass
from math import gcd, inf, lcm
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step


@dataclass(frozen=True)
class Longitudinal(Direction):
    """Members in turn.

    Attributes:
        members_a_step: Number of members that a step asks.
    """

    bounds: ClassVar = {"members_a_step": (1, inf)}
    asks_members: ClassVar = True
    uses_weights: ClassVar = False
    uses_fusion: ClassVar = False

    members_a_step: int = 1

    @property
    def gradients(self) -> int:
        """One for each member that is asked."""
        return self.members_a_step

    @property
    def least_members(self) -> int:
        """All that a step asks are different."""
        return self.members_a_step

    def begin(self, run: Run) -> Step:
        """Start with the first member."""
        both_repeat = lcm(run.period, run.members // gcd(run.members, self.members_a_step))

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            total = torch.zeros_like(point)
            shift = t // both_repeat if run.period > 1 else 0
            for i in range(self.members_a_step):
                member = (t * self.members_a_step + i + shift) % run.members
                total += run.gradient(point, step=t, number=i, member=member)
            return total / self.members_a_step

        return step


@dataclass(frozen=True)
class LongitudinalAhead(Longitudinal):
    """Members in turn, at the look-ahead point."""

    look_ahead: ClassVar = True
