"""Penalized gradient norm: gradients of neighbors and of points below them (PGN; Ge et al., 2023).

    G = 1/N sum (1 - delta) g_i + delta grad J(x_i - alpha g_i / mean |g_i|),  g_i = grad J(x_i)

where x_i = x + r_i, r_i ~ U[-zeta eps, zeta eps].
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step
from lit_adv.attacks.norms import normalize


@dataclass(frozen=True)
class PenalizedGradientNorm(Direction):
    """Penalized gradient norm.

    Attributes:
        samples: Number N of neighbors.
        zeta: Radius of the neighborhood in units of eps.
        delta: Weight of the second gradient.
    """

    bounds: ClassVar = {"samples": (1, inf), "zeta": (0, inf), "delta": (0, 1)}

    samples: int = 20
    zeta: float = 3.0
    delta: float = 0.5

    @property
    def gradients(self) -> int:
        """Two for each neighbor."""
        return 2 * self.samples

    def begin(self, run: Run) -> Step:
        """Nothing is carried from step to step."""

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            total = torch.zeros_like(point)
            for i in range(self.samples):
                neighbor = run.neighbor(point, self.zeta * run.eps, t * self.samples + i)
                first = run.gradient(neighbor, step=t, number=2 * i)
                below = neighbor - run.step_size * normalize(first)
                second = run.gradient(below, step=t, number=2 * i + 1)
                total += (1 - self.delta) * first + self.delta * second
            return total / self.samples

        return step
