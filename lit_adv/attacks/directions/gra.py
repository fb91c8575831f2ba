"""Gradient relevance: own and neighbors' gradients, weighted by how alike they are (GRA; Zhu et al., 2023).

    G = s grad J(x) + (1 - s) g_bar,  g_bar = 1/N sum grad J(x + r_i),  r_i ~ U[-beta eps, beta eps]

where s is the cosine of the angle between the two. The paper's decay indicator belongs to the update, see
:class:`lit_adv.attacks.updates.Sign`.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_adv.attacks.directions.base import Direction, Run, Step
from lit_adv.attacks.norms import divide, largest


@dataclass(frozen=True)
class GradientRelevance(Direction):
    """Gradient relevance.

    Attributes:
        samples: Number N of neighbors.
        beta: Radius of the neighborhood in units of eps.
    """

    bounds: ClassVar = {"samples": (1, inf), "beta": (0, inf)}

    samples: int = 20
    beta: float = 3.5

    @property
    def gradients(self) -> int:
        """The point's own and its neighbors'."""
        return 1 + self.samples

    def begin(self, run: Run) -> Step:
        """Nothing is carried from step to step."""

        def step(start: Tensor, point: Tensor, t: int) -> Tensor:
            own = run.gradient(point, step=t, number=0)
            mean = torch.zeros_like(own)
            for i in range(self.samples):
                neighbor = run.neighbor(point, self.beta * run.eps, t * self.samples + i)
                mean += run.gradient(neighbor, step=t, number=1 + i) / self.samples
            # Of unit vectors, since squares of a gradient's values may be too small for float32.
            one, other = (F.normalize(divide(g, largest(g)).flatten(1), dim=1) for g in (own, mean))
            similarity = (one * other).sum(1).view(-1, 1, 1, 1)
            return similarity * own + (1 - similarity) * mean

        return step
