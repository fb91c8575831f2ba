"""Scale copies of an image, S_i(x) = x / 2^i (section 3.3 of the paper), and which of them are seen in which step."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lit_adv.randomness import keyed_uniform

ScaleSpace = Literal["inception", "unit"]
CopyOrder = Literal["in_turn", "drawn"]

#: The grey, in [0, 1], that is zero in each space. The authors' code feeds images in [-1, 1], so its copies
#: fade to mid-grey; most ports feed [0, 1], so theirs fade to black.
ZERO: dict[ScaleSpace, float] = {"inception": 0.5, "unit": 0.0}


def scale_copy(centered: Tensor, factor: float | Tensor, zero: float) -> Tensor:
    """Return a scale copy.

    Args:
        centered: Images minus ``zero``, float [B, 3, H, W].
        factor: 1 / 2^i for the copy S_i; a tensor [B, 1, 1, 1] where each image has its own copy.
        zero: The grey that stands for zero.

    Returns:
        ``zero + centered * factor``, [B, 3, H, W], in units of [0, 1].
    """
    if zero == 0:
        return centered * factor
    grey = torch.full((), zero, dtype=centered.dtype, device=centered.device)
    if isinstance(factor, Tensor):
        return torch.addcmul(grey, centered, factor)
    return torch.add(grey, centered, alpha=factor)


def factors_in_turn(steps: int, copies: int, a_step: int) -> list[list[float]]:
    """Return the factors of the copies that each step sees when all copies take turns.

    Args:
        steps: Number T of steps.
        copies: Number m of copies.
        a_step: Number K of copies a step; step t sees the copies (t * K + j) mod m for j < K.

    Returns:
        1 / 2^i for each copy i, [T][K].

    Example:
        >>> factors_in_turn(steps=3, copies=3, a_step=2)
        [[1.0, 0.5], [0.25, 1.0], [0.5, 0.25]]
    """
    return [[0.5 ** ((t * a_step + j) % copies) for j in range(a_step)] for t in range(steps)]


def drawn_factors(
    images: Tensor, keys: Sequence[str], seed: int, *, steps: int, copies: int, a_step: int
) -> list[list[Tensor]]:
    """Draw the copies that each image sees in each step, all different within a step.

    Args:
        images: Float [B, 3, H, W]; the factors get its type and device.
        keys: The B samples' keys.
        seed: The user's seed.
        steps: Number T of steps.
        copies: Number m of copies.
        a_step: Number K of copies a step.

    Returns:
        1 / 2^i for each drawn copy i, [T][K] tensors [B, 1, 1, 1].
    """
    uniform = keyed_uniform(seed, "scale copies", keys, steps, copies)
    drawn = uniform.argsort(dim=2, stable=True)[..., :a_step]
    # From a table: vectorized powers may be off by the last bit.
    factors = torch.tensor([0.5**i for i in range(copies)])[drawn].to(images)
    return [[factors[:, t, j].view(-1, 1, 1, 1) for j in range(a_step)] for t in range(steps)]
