"""Enhanced momentum: the mean gradient along the last one (EMI; Wang et al., 2021).

G_t = 1/N sum grad J(x_t + c_i alpha G_{t-1} / mean |G_{t-1}|),  c_i in [-eta, eta], evenly spaced
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step, divided_by_mean


@dataclass(frozen=True)
class EnhancedMomentum(Direction):
    """Enhanced momentum.

    Attributes:
        samples: Number N of points.
        radius: How far, eta, in steps alpha, they reach to both sides.
    """

    bounds: ClassVar = {"samples": (2, inf), "radius": (0, inf)}

    samples: int = 11
    radius: float = 7.0

    @property
    def gradients(self) -> int:
        """One for each point."""
        return self.samples

    def begin(self, run: Run) -> Step:
        """Start without a last gradient: all points of the first step are one."""
        last = torch.zeros_like(run.images)
        factors = [self.radius * (2 * i / (self.samples - 1) - 1) for i in range(self.samples)]

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            nonlocal last
            total = torch.zeros_like(point)
            for i, factor in enumerate(factors):
                total += run.gradient(point + factor * run.step_size * last, step=t, number=i)
            last = divided_by_mean(total)
            return total / self.samples

        return step
