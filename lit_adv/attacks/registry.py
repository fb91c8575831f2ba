"""Attacks by name."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

from torch import nn

from lit_adv.attacks.base import Attack
from lit_adv.attacks.carlini_wagner import CARLINI_WAGNER_BOUNDS, CarliniWagnerAttack, CarliniWagnerSettings
from lit_adv.attacks.checks import check_range, check_types
from lit_adv.attacks.foreign import ForeignAttack
from lit_adv.attacks.gradient_sign import GradientSignAttack
from lit_adv.attacks.named import CARLINI_WAGNER, FAMILY
from lit_adv.attacks.settings import BOUNDS, DECIDES_ALONE, GradientSignSettings


@dataclass(frozen=True)
class AttackCard:
    """What a named attack is.

    Attributes:
        paper: Where it comes from.
        passes: Forward and backward passes of the surrogate that an image takes.
        parts: Every setting that differs from plain MI-FGSM's, by name.
    """

    paper: str
    passes: int
    parts: Mapping[str, Any]


@cache
def list_attacks() -> Mapping[str, AttackCard]:
    """Return the attacks that :func:`create_attack` knows by name, with their papers, passes and parts.

    Example:
        >>> list_attacks()["vmi_fgsm"].passes, list_attacks()["dim"].parts
        (190, {'diversity_probability': 0.5})
    """
    cards = {
        name: AttackCard(row.paper, GradientSignSettings(**row.settings).passes, dict(row.settings))
        for name, row in FAMILY.items()
    }
    cards["cw"] = AttackCard(CARLINI_WAGNER, CarliniWagnerSettings().passes, {})
    return MappingProxyType(cards)


def create_attack(name: str, model: nn.Module, **options: Any) -> Attack:
    """Build an attack.

    Args:
        name: A name of :func:`list_attacks`, or the class path of another library's attack, such as
            ``torchattacks.PGD`` or ``foolbox.attacks.LinfPGD``.
        model: The surrogate; maps [0, 1] images [B, 3, H, W] to logits.
        **options: Settings that differ from the named attack's: fields of :class:`GradientSignSettings` or
            :class:`CarliniWagnerSettings`, or the other library's own arguments.

    Returns:
        The attack, called as ``attack(images, labels, keys=None)``.

    Raises:
        ValueError: If the name, an option or its value is unknown.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> attack = create_attack("si_ni_ti_dim", model, eps="8/255", steps=5)
        >>> attack.settings.scale_copies
        5
    """
    if "." in name:
        return ForeignAttack(name, model, **options)
    settings = _settings(name, options)
    if isinstance(settings, CarliniWagnerSettings):
        return CarliniWagnerAttack(model, settings)
    return GradientSignAttack(model, settings)


def describe_attack(name: str, **options: Any) -> dict[str, Any]:
    """Return every setting that decides what the attack does, as plain values.

    Args:
        name: A name that :func:`create_attack` takes.
        **options: Settings that differ from the named attack's.

    Returns:
        A dictionary from setting to value, without those settings that came later where they change nothing.
    """
    if "." in name:
        # The library's defaults have a part in what the attack does, and they come with its version.
        return {**options, "version": _version(name.split(".")[0])}
    settings = _settings(name, options)
    if isinstance(settings, CarliniWagnerSettings):
        return asdict(settings)
    # What a named attack has and an option takes back is said too, so that a description makes the attack it is of.
    return {setting: getattr(settings, setting) for setting in FAMILY[name].settings} | settings.describe()


def count_passes(name: str, **options: Any) -> int:
    """Return how many forward and backward passes of the surrogate an attack takes for an image.

    Args:
        name: A name of :func:`list_attacks`.
        **options: Settings that differ from the named attack's.

    Returns:
        The number.

    Raises:
        ValueError: If the name, an option or its value is unknown.

    Example:
        >>> count_passes("si_ni_ti_dim"), count_passes("si_ni_ti_dim", copies_a_step=1, steps=20)
        (50, 20)
    """
    settings = _settings(name, options)
    check_types(settings)
    check_range(settings, **(CARLINI_WAGNER_BOUNDS if name == "cw" else BOUNDS))
    return settings.passes


def _settings(name: str, options: Mapping[str, Any]) -> GradientSignSettings | CarliniWagnerSettings:
    if name not in list_attacks():
        raise ValueError(f"unknown attack {name!r}{_suggest(name)}; known: {', '.join(list_attacks())}")
    kind = CarliniWagnerSettings if name == "cw" else GradientSignSettings
    known = [field.name for field in fields(kind)]
    for option in options:
        if option not in known:
            raise ValueError(f"attack {name!r} has no option {option!r}; its options: {', '.join(known)}")
    row = FAMILY[name].settings if name in FAMILY else {}
    decided = {
        setting for option, settings in DECIDES_ALONE.items() if options.get(option) is not None for setting in settings
    }
    row = {setting: value for setting, value in row.items() if setting not in decided}
    return kind(**{**row, **options})


def _version(package: str) -> str | None:
    """Return an installed package's version; None for a module that belongs to no package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), list_attacks(), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
