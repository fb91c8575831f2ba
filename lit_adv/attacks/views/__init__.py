"""How the surrogate is shown an image: each view is one idea, and views combine.

A new view is a frozen dataclass in a file of its own, as :mod:`lit_adv.attacks.views.base` says, and a row here.
"""

from lit_adv.attacks.views.admix import Admix
from lit_adv.attacks.views.affine import Affine
from lit_adv.attacks.views.base import Moment, Scene, Transform, View
from lit_adv.attacks.views.blur import Blur
from lit_adv.attacks.views.bsr import BlockShuffle
from lit_adv.attacks.views.dem import DiversityEnsemble
from lit_adv.attacks.views.diverse import Diverse
from lit_adv.attacks.views.hue import Hue
from lit_adv.attacks.views.scale import Scale
from lit_adv.attacks.views.sia import StructureInvariant
from lit_adv.attacks.views.ssm import SpectrumSimulation

#: Views by the names that configurations use.
VIEWS: dict[str, type[View]] = {
    "scale": Scale,
    "diverse": Diverse,
    "admix": Admix,
    "ssm": SpectrumSimulation,
    "sia": StructureInvariant,
    "bsr": BlockShuffle,
    "dem": DiversityEnsemble,
    "affine": Affine,
    "hue": Hue,
    "blur": Blur,
}

__all__ = ["VIEWS", "Moment", "Scene", "Transform", "View"]
