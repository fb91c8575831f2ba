"""CutMix (Yun et al., ICCV 2019) of images and their adversarial versions alike.

A box of another image of the batch covers part of an image, at the same place in all of its versions. So perturbations
stay as they are, pixel by pixel, and what a network is shown is new each time: with few images it cannot learn them by
heart, and answers of its starting weights can be taught about far more pictures than there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class CutMix(NamedTuple):
    """Which images of a batch are mixed, and how.

    Attributes:
        partners: int64 [B], for each image the one that its box is taken from.
        box: bool [B, 1, H, W], what is taken from the partner; empty where an image is left as it is.
    """

    partners: Tensor
    box: Tensor

    def images(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] with their boxes filled."""
        return torch.where(self.box, images[self.partners], images)

    def terms(self, own: Mapping[str, Tensor], partners: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mix the terms of a loss by area.

        Args:
            own: Each term, [B], with the images' labels.
            partners: The same with their partners' labels.

        Returns:
            Each term, [B].
        """
        share = self.box.flatten(1).float().mean(1)
        return {name: torch.lerp(term, partners[name], share) for name, term in own.items()}


def draw_cut_mix(like: Tensor, probability: float) -> CutMix:
    """Draw partners and one box for a batch; its area is uniform, as in the authors' code.

    Args:
        like: Images [B, C, H, W]; their shape and device count.
        probability: Of each image to be mixed, in [0, 1].

    Returns:
        What to mix, drawn with torch's default generator of the CPU.
    """
    count, _, height, width = like.shape
    side = float(torch.rand(()).sqrt())
    box = _covers(height, side)[:, None] & _covers(width, side)[None, :]
    mixed = torch.rand(count) < probability
    return CutMix(torch.randperm(count).to(like.device), (mixed[:, None, None, None] & box).to(like.device))


def _covers(length: int, share: float) -> Tensor:
    """Return which of ``length`` pixels a stretch covers that lies anywhere; what leaves the image is cut off."""
    half, middle = round(share * length) // 2, int(torch.randint(length, ()))
    pixels = torch.arange(length)
    return (pixels >= middle - half) & (pixels < middle + half)
