"""Scale copies of an image, S_i(x) = x / 2^i (section 3.3 of the paper)."""

from typing import Literal

import torch
from torch import Tensor

ScaleSpace = Literal["inception", "unit"]

#: The grey, in [0, 1], that is zero in each space. The authors' code feeds images in [-1, 1], so its copies
#: fade to mid-grey; most ports feed [0, 1], so theirs fade to black.
ZERO: dict[ScaleSpace, float] = {"inception": 0.5, "unit": 0.0}


def scale_copy(centered: Tensor, i: int, zero: float) -> Tensor:
    """Return the scale copy S_i.

    Args:
        centered: Images minus ``zero``, float [B, 3, H, W].
        i: Index of the copy; copy 0 is the image itself.
        zero: The grey that stands for zero.

    Returns:
        ``zero + centered / 2^i``, [B, 3, H, W], in units of [0, 1].
    """
    if zero == 0:
        return centered / 2**i if i else centered
    return torch.add(torch.full((), zero, dtype=centered.dtype, device=centered.device), centered, alpha=0.5**i)
