"""Defenses by name."""

import inspect
from typing import Any, get_type_hints

from torch import nn

from lit_adv.declared_types import check_type
from lit_adv.defenses.base import Defense
from lit_adv.defenses.bit_depth import BitDepthReduction
from lit_adv.defenses.comdefend import ComDefend
from lit_adv.defenses.fd import FeatureDistillation
from lit_adv.defenses.hgd import HGD
from lit_adv.defenses.jpeg import JPEGCompression
from lit_adv.defenses.nips_r3 import NIPSR3
from lit_adv.defenses.rp import RandomResizePad
from lit_adv.defenses.rs import RandomizedSmoothing

_DEFENSES: dict[str, type[Defense]] = {
    "bit_depth": BitDepthReduction,
    "comdefend": ComDefend,
    "fd": FeatureDistillation,
    "hgd": HGD,
    "jpeg": JPEGCompression,
    "nips_r3": NIPSR3,
    "rp": RandomResizePad,
    "rs": RandomizedSmoothing,
}


def list_defenses() -> list[str]:
    """Return the names of the defenses, sorted."""
    return sorted(_DEFENSES)


def create_defense(name: str, model: nn.Module, **options: Any) -> Defense:
    """Put a defense around a classifier.

    Args:
        name: One of :func:`list_defenses`.
        model: The classifier; maps float images [B, 3, H, W] in [0, 1] to logits [B, classes].
        **options: Keyword arguments of the defense's class.

    Returns:
        The defended classifier, in evaluation mode.

    Raises:
        ValueError: If the name or an option is unknown, or an option's value has another type or is refused.
        FileNotFoundError: If the defense's weights are missing.

    Example:
        >>> create_defense("jpeg", nn.Identity(), quality=75).quality
        75
    """
    if name not in _DEFENSES:
        raise ValueError(f"unknown defense {name!r}; the defenses are {', '.join(list_defenses())}")
    defense = _DEFENSES[name]
    _, *parameters = inspect.signature(defense).parameters.values()  # the first is the model
    if unknown := options.keys() - {parameter.name for parameter in parameters}:
        known = ", ".join(f"{parameter.name}={parameter.default!r}" for parameter in parameters) or "none"
        raise ValueError(f"defense {name!r} has no option {', '.join(sorted(unknown))}; its options: {known}")
    hints = get_type_hints(defense.__init__)
    for option, value in options.items():
        check_type(f"option {option} of defense {name!r}", value, hints[option])
    return defense(model, **options).eval()
