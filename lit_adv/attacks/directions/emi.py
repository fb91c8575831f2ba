"""Enhanced momentum: the mean gradient along the last one (EMI; Wang et al., 2021).

G_t = 1/N sum grad J(x_t + c_i alpha G_{t-1} / mean |G_{t-1}|),  c_i in [-eta, eta], evenly spaced
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step
from lit_adv.attacks.norms import normalize


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

    def spared(self, varies: bool) -> int:
        """Return all but one of the first step's, whose points are one, where they see the same."""
        return 0 if varies else self.samples - 1

    def begin(self, run: Run) -> Step:
        """Start without a last gradient: all points of the first step are one."""
        last = torch.zeros_like(run.images)
        factors = [self.radius * (2 * i / (self.samples - 1) - 1) for i in range(self.samples)]

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            nonlocal last
            if t == 0 and not run.varies:
                gradient = run.gradient(point, step=t, number=0)
                last = normalize(gradient)
                return gradient
            total = torch.zeros_like(point)
            for i, factor in enumerate(factors):
                total += run.gradient(point + factor * run.step_size * last, step=t, number=i)
            last = normalize(total)
            return total / self.samples

        return step
