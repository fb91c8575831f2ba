"""A random blur."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View


@dataclass(frozen=True)
class Blur(View):
    """A Gaussian blur of random width; zeros lie beyond the border.

    Attributes:
        sigma: Largest standard deviation, in pixels; the smallest is 0, no blur.
        copies: Number of copies.
    """

    bounds: ClassVar = {"sigma": (0, inf), "copies": (1, inf)}

    sigma: float = 1.5
    copies: int = 1

    def prepare(self, scene: Scene) -> Transform:
        """Draw every showing's width, and return the map."""
        sigmas = scene.uniform("blur") * self.sigma
        height, width = scene.images.shape[-2:]

        def blur(centered: Tensor, moment: Moment) -> Tensor:
            sigma = sigmas[:, moment.step, moment.slot]
            rows, columns = (blur_matrix(sigma, side).to(centered)[:, None] for side in (height, width))
            with torch.autocast(centered.device.type, enabled=False):
                return rows @ centered @ columns.mT

        return blur


def blur_matrix(sigma: Tensor, side: int) -> Tensor:
    """Return the blur of one axis by standard deviations [B] in pixels, [B, side, side]."""
    distances = torch.arange(-side, side + 1, device=sigma.device)
    taps = (-((distances / sigma.clamp(min=1e-3)[:, None]) ** 2) / 2).exp()
    taps = taps / taps.sum(1, keepdim=True)
    positions = torch.arange(side, device=sigma.device)
    return taps[:, positions[:, None] - positions + side]
