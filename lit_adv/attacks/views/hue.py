"""Another hue."""

import math
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View


@dataclass(frozen=True)
class Hue(View):
    """A turn of all colors about the axis of the greys.

    Attributes:
        degrees: Largest angle; both directions.
        copies: Number of copies.
    """

    bounds: ClassVar = {"degrees": (0, 180), "copies": (1, inf)}

    degrees: float = 30.0
    copies: int = 1

    def prepare(self, scene: Scene) -> Transform:
        """Draw every showing's angle, and return the map."""
        angles = (2 * scene.uniform("hue") - 1) * (self.degrees * math.pi / 180)

        def turn(centered: Tensor, moment: Moment) -> Tensor:
            with torch.autocast(centered.device.type, enabled=False):
                matrices = color_turn(angles[:, moment.step, moment.slot]).to(centered)
                return torch.einsum("bij,bjhw->bihw", matrices, centered)

        return turn


def color_turn(angles: Tensor) -> Tensor:
    """Return the rotations about the axis (1, 1, 1) by angles [B] in radians, [B, 3, 3] (Rodrigues)."""
    third, root = 1 / 3, math.sqrt(1 / 3)
    projection = angles.new_full((3, 3), third)
    cross = angles.new_tensor([[0, -root, root], [root, 0, -root], [-root, root, 0]])
    cosine, sine = angles.cos().view(-1, 1, 1), angles.sin().view(-1, 1, 1)
    identity = torch.eye(3, dtype=angles.dtype, device=angles.device)
    return cosine * identity + sine * cross + (1 - cosine) * projection
