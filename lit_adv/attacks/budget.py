"""The perturbation budget: an L-infinity ball around the clean image, inside [0, 1]."""

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from lit_adv.randomness import keyed_uniform


def parse_eps(eps: float | str) -> float:
    """Read a budget, written as a number or as a fraction such as ``"16/255"``.

    Args:
        eps: The budget in units of [0, 1].

    Returns:
        The budget as a float in [0, 1].

    Raises:
        ValueError: If it is no number, or not in [0, 1] (a budget of ``16`` is likely meant as ``16/255``).

    Example:
        >>> parse_eps("16/255") == 16 / 255
        True
    """
    try:
        value = float(Fraction(eps)) if isinstance(eps, str) else float(eps)
    except (ValueError, TypeError, ZeroDivisionError):
        raise ValueError(f"eps {eps!r} is not a number or a fraction such as 16/255") from None
    if not 0 <= value <= 1:
        raise ValueError(f"eps {eps!r} is not in [0, 1]; grey levels are written as a fraction: {eps}/255")
    return value


def grey_levels(eps: float) -> int:
    """Return how many of the 255 grey levels a stored pixel may move.

    The small allowance keeps 16/255 at 16 where rounding in ``eps`` would give 15.

    Example:
        >>> grey_levels(16 / 255), grey_levels(0.05)
        (16, 12)
    """
    return math.floor(eps * 255 + 1e-4)


def project(images: Tensor, clean: Tensor, eps: float) -> Tensor:
    """Clip to the budget around ``clean`` and to [0, 1] (Clip in eq. 2 of the paper)."""
    return (clean + (images - clean).clamp_(-eps, eps)).clamp_(0, 1)


def random_start(images: Tensor, eps: float, seed: int, keys: Sequence[str]) -> Tensor:
    """Start uniformly inside the budget, as PGD does (Madry et al., 2018)."""
    noise = keyed_uniform(seed, "random start", keys, *images.shape[1:]).mul_(2 * eps).sub_(eps)
    return (images + noise.to(images)).clamp_(0, 1)


def quantize(images: Tensor, clean: Tensor, levels: int | None) -> Tensor:
    """Round to 8 bits without leaving the budget, so that what is stored is what was promised.

    Args:
        images: Adversarial images, float [B, 3, H, W] in [0, 1].
        clean: uint8 [B, 3, H, W].
        levels: The budget in grey levels; None for none.

    Returns:
        uint8 [B, 3, H, W]; every value is within ``levels`` of ``clean``.
    """
    rounded = (images * 255).round_().to(torch.int16)
    if levels is not None:
        reference = clean.to(torch.int16)
        rounded = rounded.clamp(reference - levels, reference + levels)
    return rounded.clamp_(0, 255).to(torch.uint8)
