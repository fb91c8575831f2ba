"""Variance tuning: gradients around the last step's point correct this one's (VMI, VNI; Wang and He, 2021).

    g_hat = grad J(x),  G = g_hat + v,  v' = 1/N sum grad J(x + r_i) - g_hat,  r_i ~ U[-beta eps, beta eps]

VNI takes g_hat at the look-ahead point; the neighbors lie around x itself, as in the authors' code. Nothing needs the
last step's v', so its gradients are not taken.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step


@dataclass(frozen=True)
class VarianceTuning(Direction):
    """Variance tuning.

    Attributes:
        samples: Number N of neighbors.
        beta: Radius of the neighborhood in units of eps.
    """

    bounds: ClassVar = {"samples": (1, inf), "beta": (0, inf)}

    samples: int = 20
    beta: float = 1.5

    @property
    def gradients(self) -> int:
        """The point's own and its neighbors'."""
        return 1 + self.samples

    def spared(self, varies: bool) -> int:
        """Return the last step's neighbors."""
        return self.samples

    def begin(self, run: Run) -> Step:
        """Start without a variance."""
        variance = torch.zeros_like(run.images)

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            nonlocal variance
            own = run.gradient(point, step=t, number=0)
            tuned = own + variance
            if t + 1 < run.steps:
                total = torch.zeros_like(own)
                for i in range(self.samples):
                    neighbor = run.neighbor(start, self.beta * run.eps, t * self.samples + i)
                    total += run.gradient(neighbor, step=t, number=1 + i)
                variance = total / self.samples - own
            return tuned

        return step


@dataclass(frozen=True)
class VarianceTuningAhead(VarianceTuning):
    """Variance tuning at the look-ahead point (VNI)."""

    look_ahead: ClassVar = True
