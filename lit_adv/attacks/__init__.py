"""Attacks: pure torch functions of a surrogate, images and labels."""

from lit_adv.attacks.base import Attack
from lit_adv.attacks.budget import grey_levels, parse_eps, quantize, without_garbage
from lit_adv.attacks.carlini_wagner import CarliniWagnerAttack, CarliniWagnerSettings
from lit_adv.attacks.foreign import ForeignAttack
from lit_adv.attacks.gradient_sign import GradientSignAttack
from lit_adv.attacks.lent_model import eval_mode
from lit_adv.attacks.live import LiveAttack
from lit_adv.attacks.registry import count_passes, create_attack, describe_attack, list_attacks
from lit_adv.attacks.settings import GradientSignSettings

__all__ = [
    "Attack",
    "CarliniWagnerAttack",
    "CarliniWagnerSettings",
    "ForeignAttack",
    "GradientSignAttack",
    "GradientSignSettings",
    "LiveAttack",
    "count_passes",
    "create_attack",
    "describe_attack",
    "eval_mode",
    "grey_levels",
    "list_attacks",
    "parse_eps",
    "quantize",
    "without_garbage",
]
