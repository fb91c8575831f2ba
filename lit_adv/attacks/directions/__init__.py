"""Where a step's gradient is taken, and how gradients of several points or members become one.

A new direction is a frozen dataclass in a file of its own, as :mod:`lit_adv.attacks.directions.base` says, and a row
here.
"""

from lit_adv.attacks.directions.base import Direction, Gradient, Run, Step
from lit_adv.attacks.directions.cwa import CommonWeakness
from lit_adv.attacks.directions.emi import EnhancedMomentum
from lit_adv.attacks.directions.gra import GradientRelevance
from lit_adv.attacks.directions.longitudinal import Longitudinal, LongitudinalAhead
from lit_adv.attacks.directions.pgn import PenalizedGradientNorm
from lit_adv.attacks.directions.plain import LookAhead, Plain
from lit_adv.attacks.directions.svre import VarianceReducedEnsemble
from lit_adv.attacks.directions.variance import VarianceTuning, VarianceTuningAhead

#: Directions by the names that configurations use.
DIRECTIONS: dict[str, type[Direction]] = {
    "plain": Plain,
    "ni": LookAhead,
    "vmi": VarianceTuning,
    "vni": VarianceTuningAhead,
    "emi": EnhancedMomentum,
    "gra": GradientRelevance,
    "pgn": PenalizedGradientNorm,
    "longitudinal": Longitudinal,
    "longitudinal_ni": LongitudinalAhead,
    "svre": VarianceReducedEnsemble,
    "cwa": CommonWeakness,
}

__all__ = ["DIRECTIONS", "Direction", "Gradient", "Run", "Step"]
