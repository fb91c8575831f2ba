"""Block shuffle and rotation: blocks of the image change places and turn (BSR; Wang et al., 2024).

Each axis is cut at random points into strips, whose order is shuffled, so that the blocks between the cuts change
places. Every block then turns about its own center by an angle of its own; what turns out of a block is lost, what
turns in is zero. The strips of the paper's figure and its text are the same for the whole image, so blocks keep their
sizes.
"""

from dataclasses import dataclass
from math import inf, pi
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View
from lit_adv.attacks.views.blocks import Strips, cut
from lit_adv.attacks.views.sampling import sample_pixels


@dataclass(frozen=True)
class BlockShuffle(View):
    """Block shuffle and rotation.

    Attributes:
        copies: Number N of copies.
        blocks: Number n of strips along each axis.
        rotation: Largest angle tau, in degrees; both directions.
    """

    bounds: ClassVar = {"copies": (1, inf), "blocks": (1, 16), "rotation": (0, 180)}

    copies: int = 20
    blocks: int = 2
    rotation: float = 24.0

    def prepare(self, scene: Scene) -> Transform:
        """Draw cuts, orders and angles of every showing, and return the map."""
        n = self.blocks
        uniform = scene.uniform("block shuffle", 4 * n + n * n)
        height, width = scene.images.shape[-2:]

        def shuffle(centered: Tensor, moment: Moment) -> Tensor:
            numbers = uniform[:, moment.step, moment.slot]
            tops, lefts, down, across, turns = torch.split(numbers, [n, n, n, n, n * n], dim=1)
            vertical, horizontal = (cut(tops, down, height), cut(lefts, across, width))
            angles = (2 * turns - 1).view(-1, n, n) * (self.rotation * pi / 180)
            return sample_pixels(centered, *turned(vertical, horizontal, angles))

        return shuffle


def turned(vertical: Strips, horizontal: Strips, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return where every pixel comes from when blocks have changed places and turned.

    Args:
        vertical: The strips that the rows lie in after the shuffle.
        horizontal: The strips that the columns lie in.
        angles: float64 [B, n, n], in radians, of each block by its place before the shuffle.

    Returns:
        Rows and columns, int64 [B, H, W]; -1 where a pixel comes from outside of its block.
    """
    batch = torch.arange(len(angles), device=angles.device)[:, None, None]
    block = (batch, vertical.strip[:, :, None], horizontal.strip[:, None, :])
    cosine, sine = angles.cos()[block], angles.sin()[block]
    y, x = vertical.offset[:, :, None], horizontal.offset[:, None, :]  # from the block's center
    half_height, half_width = vertical.length[:, :, None] / 2, horizontal.length[:, None, :] / 2
    # The pixel's place in its block, to the nearest pixel; rounding away from 1e-9 settles ties of right angles.
    row = (cosine * y + sine * x + half_height + 1e-9).floor().long()
    column = (cosine * x - sine * y + half_width + 1e-9).floor().long()
    inside = (row >= 0) & (row < vertical.length[:, :, None]) & (column >= 0) & (column < horizontal.length[:, None, :])
    rows, columns = row + vertical.start[:, :, None], column + horizontal.start[:, None, :]
    return torch.where(inside, rows, -1), torch.where(inside, columns, -1)
