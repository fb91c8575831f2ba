"""What divides a gradient, for each image of a batch."""

from typing import Literal

import torch
from torch import Tensor

GradientNorm = Literal["mean_abs", "l1", "none"]


def normalize(gradient: Tensor, norm: GradientNorm = "mean_abs") -> Tensor:
    """Divide each image's gradient by its size (step 11 of algorithm 2); a zero gradient stays zero.

    Args:
        gradient: Float [B, C, H, W].
        norm: ``mean_abs``, ``l1``, or ``none`` to leave the gradient as it is.

    Returns:
        Float [B, C, H, W].
    """
    if norm == "none":
        return gradient
    absolute = gradient.abs()
    return divide(gradient, (absolute.mean if norm == "mean_abs" else absolute.sum)(dim=(1, 2, 3), keepdim=True))


def largest(gradient: Tensor) -> Tensor:
    """Return the largest absolute value of each image's gradient [B, C, H, W], as [B, 1, 1, 1]."""
    return gradient.abs().amax(dim=(1, 2, 3), keepdim=True)


def divide(gradient: Tensor, size: Tensor) -> Tensor:
    """Divide each image's gradient [B, C, H, W] by its size [B, 1, 1, 1]; where that is zero, it is left as it is."""
    return gradient / torch.where(size == 0, 1, size)
