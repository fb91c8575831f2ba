"""Structure invariant attack: each block of the image is changed in a way of its own (SIA; Wang et al., 2023).

An image is cut into blocks at random points, and every block is shifted along an axis (what leaves on one side comes in
on the other), mirrored, turned by 180 degrees, darkened or given noise. These seven are those of the authors'
collection of attacks; the paper also names resizing, dropped-out pixels and a low-pass filter. All blocks of a batch
are changed at once: the first five say where a pixel comes from, the last two what is done to it.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View
from lit_adv.attacks.views.blocks import Strips, cut
from lit_adv.attacks.views.sampling import sample_pixels

SHIFT_DOWN, SHIFT_RIGHT, FLIP_DOWN, FLIP_RIGHT, TURN, DARKEN, NOISE = range(7)


@dataclass(frozen=True)
class StructureInvariant(View):
    """The structure invariant attack.

    Attributes:
        copies: Number N of copies.
        blocks: Number s of strips along each axis.
        noise: Largest noise, in units of [0, 1]; both directions.
    """

    bounds: ClassVar = {"copies": (1, inf), "blocks": (1, 16), "noise": (0, 1)}

    copies: int = 20
    blocks: int = 3
    noise: float = 16 / 255

    def prepare(self, scene: Scene) -> Transform:
        """Draw cuts and changes of every showing, and return the map."""
        n = self.blocks
        uniform = scene.uniform("structure invariance", 2 * n + 2 * n * n)
        height, width = scene.images.shape[-2:]
        lowest, highest = -scene.zero, 1 - scene.zero

        def change(centered: Tensor, moment: Moment) -> Tensor:
            numbers = uniform[:, moment.step, moment.slot]
            tops, lefts, choices, amounts = torch.split(numbers, [n, n, n * n, n * n], dim=1)
            # Shares of exponential numbers are the lengths between uniform points.
            vertical, horizontal = (
                cut(-torch.log1p(-sizes), None, side) for sizes, side in ((tops, height), (lefts, width))
            )
            blocks = vertical.strip[:, :, None] * n + horizontal.strip[:, None, :]
            chosen, amount = (
                per_block.gather(1, blocks.flatten(1)).view_as(blocks) for per_block in ((choices * 7).long(), amounts)
            )
            moved = sample_pixels(centered, *sources(vertical, horizontal, chosen, amount))
            factor = torch.where(chosen == DARKEN, amount, 1.0).to(centered)[:, None]
            noise = (2 * scene.field("structure noise", moment) - 1) * self.noise
            noisy = (moved + noise).clamp(lowest, highest)
            return torch.where((chosen == NOISE)[:, None], noisy, moved * factor)

        return change


def sources(vertical: Strips, horizontal: Strips, chosen: Tensor, amount: Tensor) -> tuple[Tensor, Tensor]:
    """Return where every pixel comes from.

    Args:
        vertical: The strips that the rows lie in.
        horizontal: The strips that the columns lie in.
        chosen: int64 [B, H, W], the change of each pixel's block.
        amount: float64 [B, H, W] in [0, 1), how far of its length the block is shifted.

    Returns:
        Rows and columns, int64 [B, H, W].
    """
    top, tall = vertical.start[:, :, None], vertical.length[:, :, None]
    left, wide = horizontal.start[:, None, :], horizontal.length[:, None, :]
    device = chosen.device
    row = torch.arange(chosen.shape[1], device=device)[:, None] - top  # within the block
    column = torch.arange(chosen.shape[2], device=device) - left
    row = torch.where(chosen == SHIFT_DOWN, row - (amount * tall).long(), row)
    column = torch.where(chosen == SHIFT_RIGHT, column - (amount * wide).long(), column)
    row, column = torch.where(row < 0, row + tall, row), torch.where(column < 0, column + wide, column)
    row = torch.where((chosen == FLIP_DOWN) | (chosen == TURN), tall - 1 - row, row)
    column = torch.where((chosen == FLIP_RIGHT) | (chosen == TURN), wide - 1 - column, column)
    return row + top, column + left
