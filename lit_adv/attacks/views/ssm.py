"""Spectrum simulation: noise in an image's cosine transform (SSM, also S2I; Long et al., 2022).

    x' = IDCT(DCT(x + xi) * M),  xi ~ N(0, sigma^2),  M ~ U(1 - rho, 1 + rho)

The transforms are orthonormal and in two dimensions: products with one matrix along each axis, for the whole batch.
"""

import math
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View


@dataclass(frozen=True)
class SpectrumSimulation(View):
    """Spectrum simulation.

    Attributes:
        copies: Number N of copies.
        noise: Standard deviation sigma, in units of [0, 1].
        rho: How far the spectrum's factors lie from 1.
    """

    bounds: ClassVar = {"copies": (1, inf), "noise": (0, inf), "rho": (0, inf)}

    copies: int = 20
    noise: float = 16 / 255
    rho: float = 0.5

    def prepare(self, scene: Scene) -> Transform:
        """Return the map."""
        rows, columns = (cosine_matrix(side).to(scene.images) for side in scene.images.shape[-2:])

        def simulate(centered: Tensor, moment: Moment) -> Tensor:
            with torch.autocast(centered.device.type, enabled=False):
                noisy = centered.add(scene.normal_field("spectrum noise", moment), alpha=self.noise)
                factors = scene.field("spectrum factors", moment).mul_(2 * self.rho).add_(1 - self.rho)
                spectrum = rows @ noisy @ columns.mT
                return rows.mT @ (spectrum * factors) @ columns

        return simulate


def cosine_matrix(side: int) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II), float64 [side, side]; its inverse is its transpose."""
    k, n = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64)
    matrix = torch.cos(math.pi * (n + 0.5) * k / side) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix
