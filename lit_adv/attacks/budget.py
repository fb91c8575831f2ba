"""The perturbation budget: an L-infinity ball around the clean image, inside [0, 1]."""

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from lit_adv.randomness import keyed_uniform

_FRACTION = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*/\s*[0-9]*[1-9][0-9]*(\.[0-9]*)?\s*")


def parse_eps(eps: float | str, name: str = "eps") -> float:
    """Read a budget or a step, written as a number or as a fraction such as ``"16/255"``.

    Args:
        eps: The budget in units of [0, 1].
        name: What it is called, for the message.

    Returns:
        The budget as a float in [0, 1].

    Raises:
        ValueError: If it is no number, or not in [0, 1] (a budget of ``16`` is likely meant as ``16/255``).

    Example:
        >>> parse_eps("16/255") == 16 / 255
        True
    """
    value = parse_number(name, eps)
    if not 0 <= value <= 1:
        is_grey = value >= 1 and "/" not in str(eps)
        remedy = f"; grey levels are written as a fraction: {eps}/255" if is_grey else ""
        raise ValueError(f"{name} {eps!r} is not in [0, 1]{remedy}")
    return value


def parse_number(name: str, value: float | str) -> float:
    """Read a number or a fraction such as ``"16/255"``.

    Args:
        name: What the number is called, for the message.
        value: The number.

    Raises:
        ValueError: If it is none.
    """
    try:
        return float(Fraction(value)) if isinstance(value, str) else float(value)
    except (ValueError, TypeError, ZeroDivisionError):
        raise ValueError(f"{name} {value!r} is not a number or a fraction such as 16/255") from None


def parse_fractions(value: Any) -> Any:
    """Return a setting with every text that is a fraction, such as ``"2/255"``, as a number, in lists and dicts too.

    Example:
        >>> parse_fractions({"alpha": "1/4", "range": ["1/2", 3], "norm": "Linf"})
        {'alpha': 0.25, 'range': [0.5, 3], 'norm': 'Linf'}
    """
    if isinstance(value, str) and _FRACTION.fullmatch(value):
        numerator, _, denominator = value.partition("/")
        return float(numerator) / float(denominator)
    if isinstance(value, dict):
        return {key: parse_fractions(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(parse_fractions, value))
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
        images: Adversarial images, float [B, 3, H, W], finite; what is not in [0, 1] is clipped.
        clean: uint8 [B, 3, H, W].
        levels: The budget in grey levels; None for none.

    Returns:
        uint8 [B, 3, H, W]; every value is within ``levels`` of ``clean``.
    """
    rounded = (images * 255).round_().clamp_(0, 255).to(torch.int16)
    if levels is not None:
        reference = clean.to(torch.int16)
        rounded = rounded.clamp(reference - levels, reference + levels)
    return rounded.clamp_(0, 255).to(torch.uint8)


def without_garbage(images: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Put the clean image in the place of each that an attack returned with pixels that are no finite numbers.

    Such an image stays in the data, so that it counts as one that the attack did not change; left out, it would raise
    the attack's share of success.

    Args:
        images: Adversarial images, float [B, 3, H, W].
        clean: As ``images``, finite.

    Returns:
        The images, and which of them were put in place, bool [B].
    """
    garbage = ~images.isfinite().flatten(1).all(1)
    return torch.where(garbage.view(-1, 1, 1, 1), clean, images), garbage
