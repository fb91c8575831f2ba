"""A random turn, shift and zoom."""

import math
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View
from lit_adv.attacks.views.sampling import sample_pixels


@dataclass(frozen=True)
class Affine(View):
    """A random turn, shift and zoom about the center; what comes in is zero.

    Attributes:
        degrees: Largest angle; both directions.
        translate: Largest shift along each axis, as a share of its length; both directions.
        zoom: Largest factor; the zoom is uniform in its logarithm between 1 / zoom and zoom.
        copies: Number of copies.
    """

    bounds: ClassVar = {"degrees": (0, 180), "translate": (0, 1), "zoom": (1, 10), "copies": (1, inf)}

    degrees: float = 10.0
    translate: float = 0.05
    zoom: float = 1.1
    copies: int = 1

    def prepare(self, scene: Scene) -> Transform:
        """Draw every showing's numbers, and return the map."""
        uniform = 2 * scene.uniform("affine", 4) - 1
        height, width = scene.images.shape[-2:]
        y, x = (torch.arange(side, device=uniform.device) + 0.5 - side / 2 for side in (height, width))

        def move(centered: Tensor, moment: Moment) -> Tensor:
            turn, down, right, zoom = (n.view(-1, 1, 1) for n in uniform[:, moment.step, moment.slot].unbind(1))
            angle, factor = turn * (self.degrees * math.pi / 180), self.zoom**-zoom
            shifted_y = y[:, None] - down * (self.translate * height)
            shifted_x = x - right * (self.translate * width)
            rows = factor * (angle.cos() * shifted_y + angle.sin() * shifted_x) + height / 2
            columns = factor * (angle.cos() * shifted_x - angle.sin() * shifted_y) + width / 2
            return sample_pixels(centered, rows.floor().long(), columns.floor().long())

        return move
