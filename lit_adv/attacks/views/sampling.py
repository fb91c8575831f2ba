"""Pixels taken from elsewhere: what rotations, shifts and shuffles have in common.

Every pixel of the result is a copy of one pixel of the image, or zero. On a CPU torch's sampling is the faster form.
Its backward pass on a GPU adds atomically, so that two runs differ; there the gradient of a pixel is summed over the
list of those that copied it, in order.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Take every pixel from elsewhere in its image.

    Args:
        images: Float [B, C, H, W].
        rows: int64 [B, H, W], the row that each pixel comes from; what lies outside of the image is zero.
        columns: As ``rows``, the column.

    Returns:
        Float [B, C, H, W].
    """
    height, width = images.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # Outside autocast: bfloat16 holds 8 bits of a pixel, no more than the image itself.
    with torch.autocast(images.device.type, enabled=False):
        if images.device.type == "cpu":
            x, y = (2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1
            grid = torch.where(inside[..., None], torch.stack((x, y), dim=-1), -3.0)  # -3 lies outside
            return F.grid_sample(images, grid.to(images.dtype), mode="nearest", align_corners=False)
        source = torch.where(inside, rows * width + columns, height * width)
        sampled: Tensor = _InOrder.apply(images, source.flatten(1))
        return sampled


class _InOrder(torch.autograd.Function):
    """Sampling whose backward pass sums in an order of its own, not in that of a GPU's threads."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, source: Tensor) -> Tensor:
        """Sample images [B, C, H, W] at flat positions [B, H * W]; the position H * W is zero."""
        ctx.save_for_backward(source)
        return _take(images.flatten(2), source).view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum the gradients of all pixels that are copies of one."""
        (source,) = ctx.saved_tensors
        (gradient,) = gradients
        count = source.shape[1]
        ordered, copies = source.sort(dim=1, stable=True)
        positions = torch.arange(count, device=source.device).expand_as(source).contiguous()
        first = torch.searchsorted(ordered, positions)
        number = torch.searchsorted(ordered, positions, right=True) - first
        flat = gradient.flatten(2)
        total = torch.zeros_like(flat)
        for k in range(int(number.max())):
            copy = copies.gather(1, (first + k).clamp_(max=count - 1))
            total += _take(flat, torch.where(k < number, copy, count))
        return total.view_as(gradient), None


def _take(flat: Tensor, source: Tensor) -> Tensor:
    """Return the pixels of [B, C, P] at positions [B, P]; position P is zero."""
    padded = F.pad(flat, (0, 1))
    return padded.gather(2, source[:, None].expand(-1, flat.shape[1], -1))
