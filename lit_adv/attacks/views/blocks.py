"""An axis that is cut into strips at random points."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Strips:
    """Which strip each pixel along an axis lies in, for every image: tensors [B, side].

    Attributes:
        strip: int64, number of the strip, by its place before any shuffle.
        start: int64, where that strip began before the shuffle.
        length: int64, its length.
        offset: float64, how far the pixel's center lies from the strip's, in pixels.
    """

    strip: Tensor
    start: Tensor
    length: Tensor
    offset: Tensor


def cut(sizes: Tensor, order: Tensor | None, side: int) -> Strips:
    """Cut an axis into strips and, if asked for, shuffle them.

    Args:
        sizes: float64 [B, n] in [0, 1); strip i takes a share of ``sizes[i]`` in their sum, rounded to whole pixels at
            its ends. A strip may be empty.
        order: float64 [B, n]; strips are put into the order of these numbers. None leaves them as they are.
        side: Length of the axis, in pixels.

    Returns:
        The strips of every pixel after the shuffle.
    """
    sums = sizes.cumsum(1)
    ends = (sums / sums[:, -1:].clamp(min=1e-12) * side).round().long()
    ends[:, -1] = side
    lengths = ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
    starts = ends - lengths
    places = torch.arange(sizes.shape[1], device=sizes.device).expand_as(ends)
    placed = places if order is None else order.argsort(dim=1, stable=True)
    placed_ends = lengths.gather(1, placed).cumsum(1)
    pixels = torch.arange(side, device=sizes.device).expand(len(sizes), -1).contiguous()
    place = torch.searchsorted(placed_ends, pixels, right=True)
    strip = placed.gather(1, place)
    length = lengths.gather(1, strip)
    begin = placed_ends.gather(1, place) - length
    return Strips(strip, starts.gather(1, strip), length, pixels - begin + 0.5 - length / 2)
