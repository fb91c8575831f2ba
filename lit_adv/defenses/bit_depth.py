"""Bit-depth reduction, or feature squeezing (Xu et al., NDSS 2018; Guo et al., ICLR 2018).

A small perturbation mostly disappears when each color channel keeps only its leading bits. Both papers quantize to
2^k evenly spaced levels from black to white: ``round(x * (2^k - 1)) / (2^k - 1)``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_adv.defenses.base import Purifier


def reduce_bit_depth(images: Tensor, bits: int) -> Tensor:
    """Round each channel to one of 2^bits levels.

    Args:
        images: Float, any shape, in [0, 1].
        bits: Bits a channel keeps.

    Returns:
        A tensor like ``images``.

    Example:
        >>> reduce_bit_depth(torch.tensor([0.0, 0.4, 0.6, 1.0]), bits=1)
        tensor([0., 0., 1., 1.])
    """
    top = 2**bits - 1
    return torch.round(images * top).div(top)


class BitDepthReduction(Purifier):
    """Bit-depth reduction before a classifier.

    Args:
        model: The classifier to defend.
        bits: Bits a channel keeps, 1 to 8. Guo et al. keep 3 on ImageNet, Xu et al. 5: with 5 a step is 8 grey
            levels, which leaves a perturbation of the usual budget of 16 largely in place.

    Raises:
        ValueError: If ``bits`` is out of range.
    """

    def __init__(self, model: nn.Module, bits: int = 3) -> None:
        super().__init__(model)
        if not 1 <= bits <= 8:
            raise ValueError(f"bits must be from 1 to 8, not {bits}")
        self.bits = bits

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Reduce the bit depth; see :meth:`Purifier.purify`."""
        return reduce_bit_depth(images, self.bits)
