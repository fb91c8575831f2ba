"""Common weakness: flat and close optima of all members (MI-CWA; Chen et al., 2024).

A step first goes back along the ensemble's gradient, then forward along each member's in turn; its gradient is how far
that leads from where it started, x_K - x:

    x_0 = x - r sign(grad J(x)),  h_k = mu h_{k-1} + G_k / |G_k|_2,  G_k = grad J_k(x_{k-1}),  x_k = x_{k-1} + beta h_k

The update divides x_K - x by its mean absolute value, as every gradient. A targeted attack goes back too, away from the
wanted class, as in the authors' code. Their steps are 2 eps / T long: ``step_factor: 2``.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.budget import project
from lit_adv.attacks.directions.base import Direction, Run, Step
from lit_adv.attacks.norms import divide, largest


@dataclass(frozen=True)
class CommonWeakness(Direction):
    """The common weakness attack.

    Attributes:
        reverse: Length r of the way back, in units of [0, 1].
        inner: Step beta along a member's unit gradient, in units of the gradient's L2 norm.
        momentum: Decay factor mu of the inner momentum, which is carried from step to step.
    """

    bounds: ClassVar = {"reverse": (0, 1), "inner": (0, inf), "momentum": (0, inf)}
    asks_members: ClassVar = True
    uses_weights: ClassVar = False

    reverse: float = 16 / 255 / 15
    inner: float = 250.0
    momentum: float = 1.0

    @property
    def gradients(self) -> int:
        """The ensemble's, and one that goes through all members in turn."""
        return 2

    def begin(self, run: Run) -> Step:
        """Start without a momentum."""
        h = torch.zeros_like(run.images)

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            nonlocal h
            back = run.gradient(point, step=t, number=0).sign()
            x = project(point - self.reverse * back, run.images, run.eps)
            for k in range(run.members):
                g = run.gradient(x, step=t, number=1, member=k)
                g = divide(g, largest(g))  # squares of small values are too small for float32
                h = self.momentum * h + divide(g, g.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
                x = project(x + self.inner * h, run.images, run.eps)
            # A look-ahead point may lie outside; how far projection moves it is no gradient.
            return x - project(point, run.images, run.eps)

        return step
