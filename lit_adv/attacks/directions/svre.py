"""Stochastic variance reduction over an ensemble (SVRE; Xiong et al., 2022).

An inner loop asks one drawn member k at a time, and corrects its gradient by how far that member's lies from the
ensemble's where the step starts:

    G_m = grad J_k(x_m) - (grad J_k(x) - grad J(x))
    h_m = mu h_{m-1} + G_m / mean |G_m|,  x_{m+1} = x_m + alpha sign(h_m)

The step's gradient is the last h.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.budget import project
from lit_adv.attacks.directions.base import Direction, Run, Step
from lit_adv.attacks.norms import normalize


@dataclass(frozen=True)
class VarianceReducedEnsemble(Direction):
    """Stochastic variance reduction.

    Attributes:
        inner: Number M of inner steps; the paper takes four for each of its four members.
        momentum: Decay factor mu of the inner loop.
    """

    bounds: ClassVar = {"inner": (1, inf), "momentum": (0, inf)}
    asks_members: ClassVar = True

    inner: int = 16
    momentum: float = 1.0

    @property
    def gradients(self) -> int:
        """The ensemble's, and two of one member for each inner step."""
        return 1 + 2 * self.inner

    def begin(self, run: Run) -> Step:
        """Nothing is carried from step to step."""

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            whole = run.gradient(point, step=t, number=0)
            x, h = point, torch.zeros_like(point)
            for m, k in enumerate(run.draw_members(self.inner, t)):
                # Both through the same views: what is left of their difference is that of the points.
                there, here = (run.gradient(at, step=t, number=1 + m, member=k) for at in (x, point))
                h = self.momentum * h + normalize(whole + (there - here))
                x = project(x + run.step_size * h.sign(), run.images, run.eps)
            return h

        return step
