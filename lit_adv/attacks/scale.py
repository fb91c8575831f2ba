"""Scale copies of an image, S_i(x) = x / 2^i (section 3.3 of the paper)."""

from typing import Literal

from torch import Tensor

ScaleSpace = Literal["inception", "unit"]

#: The grey, in [0, 1], that is zero in each space. The authors' code feeds images in [-1, 1], so its copies
#: fade to mid-grey; most ports feed [0, 1], so theirs fade to black.
ZERO: dict[ScaleSpace, float] = {"inception": 0.5, "unit": 0.0}


def scale_copy(images: Tensor, i: int, zero: float) -> Tensor:
    """Return the scale copy S_i.

    Args:
        images: Float [B, 3, H, W] in [0, 1].
        i: Index of the copy; copy 0 is the image itself.
        zero: The grey that stands for zero.

    Returns:
        ``zero + (images - zero) / 2^i``, [B, 3, H, W].
    """
    if i == 0:
        return images
    factor = 0.5**i
    scaled = images * factor
    return scaled if zero == 0 else scaled + zero * (1 - factor)
