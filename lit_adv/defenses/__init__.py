"""Defenses: modules that wrap a classifier and make it harder to fool.

Six are those of the paper's Table 3 (``hgd``, ``rp``, ``nips_r3``, ``fd``, ``comdefend``, ``rs``); ``jpeg`` and
``bit_depth`` are the usual baselines beside them.
"""

from lit_adv.defenses.base import ABSTAIN, Defense, Purifier
from lit_adv.defenses.bit_depth import BitDepthReduction
from lit_adv.defenses.comdefend import ComDefend
from lit_adv.defenses.ensemble import ScoreSum
from lit_adv.defenses.fd import FeatureDistillation
from lit_adv.defenses.hgd import HGD, Denoiser
from lit_adv.defenses.jpeg import JPEGCompression
from lit_adv.defenses.nips_r3 import NIPSR3, Member
from lit_adv.defenses.registry import create_defense, list_defenses
from lit_adv.defenses.rp import RandomResizePad
from lit_adv.defenses.rs import RandomizedSmoothing

__all__ = [
    "ABSTAIN",
    "HGD",
    "NIPSR3",
    "BitDepthReduction",
    "ComDefend",
    "Defense",
    "Denoiser",
    "FeatureDistillation",
    "JPEGCompression",
    "Member",
    "Purifier",
    "RandomResizePad",
    "RandomizedSmoothing",
    "ScoreSum",
    "create_defense",
    "list_defenses",
]
