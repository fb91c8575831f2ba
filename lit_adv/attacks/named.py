"""Named attacks: rows of settings, each with the paper that it comes from."""

from dataclasses import dataclass
from typing import Any

_NI: dict[str, Any] = {"nesterov": True}
_SI: dict[str, Any] = {"scale_copies": 5}
_DI: dict[str, Any] = {"diversity_probability": 0.5}
_TI: dict[str, Any] = {"kernel_size": 7}
_ONE_OF_THREE: dict[str, Any] = {"scale_copies": 3, "copies_a_step": 1, "diversity_probability": 1.0}
_LEAKY: dict[str, Any] = {"backward": {"leaky": 0.1}}
_SCALE_AND_DEM: dict[str, Any] = {"views": [{"scale": 5}, {"dem": {"interpolation": "bilinear"}}]}
_NO_MOMENTUM: dict[str, Any] = {"momentum": 0.0}
#: Zero is black for the authors of these later attacks, who work in [0, 1]; others work in [-1, 1], as is the default.
_UNIT: dict[str, Any] = {"scale_space": "unit"}

_LIN = "Lin et al., Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks, ICLR 2020"
_OWN = "a schedule of this project's own"


@dataclass(frozen=True)
class NamedAttack:
    """A named attack of the gradient-sign family.

    Attributes:
        paper: Where it comes from.
        settings: Where it differs from the defaults of :class:`lit_adv.attacks.GradientSignSettings`.
    """

    paper: str
    settings: dict[str, Any]


#: In the paper DIM, TIM and TI-DIM carry momentum.
FAMILY: dict[str, NamedAttack] = {
    "fgsm": NamedAttack("Goodfellow et al., ICLR 2015", _NO_MOMENTUM | {"steps": 1}),
    "i_fgsm": NamedAttack("Kurakin et al., ICLR workshop 2017", _NO_MOMENTUM),
    "pgd": NamedAttack("Madry et al., ICLR 2018", _NO_MOMENTUM | {"random_start": True}),
    "mi_fgsm": NamedAttack("Dong et al., CVPR 2018", {}),
    "ni_fgsm": NamedAttack(_LIN, _NI),
    "dim": NamedAttack("Xie et al., CVPR 2019", _DI),
    "tim": NamedAttack("Dong et al., CVPR 2019", _TI),
    "ti_dim": NamedAttack("Dong et al., CVPR 2019", _TI | _DI),
    "si_fgsm": NamedAttack(_LIN, _NO_MOMENTUM | _SI),
    "si_mi_fgsm": NamedAttack(_LIN, _SI),
    "si_ni_fgsm": NamedAttack(_LIN, _SI | _NI),
    "si_ni_dim": NamedAttack(_LIN, _SI | _NI | _DI),
    "si_ni_tim": NamedAttack(_LIN, _SI | _NI | _TI),
    "si_ni_ti_dim": NamedAttack(_LIN, _SI | _NI | _TI | _DI),
    # Each step sees one of the copies, in turn, through a view of its own.
    "si_ni_ti_dim_fast": NamedAttack(_OWN, _NI | _TI | _ONE_OF_THREE | _LEAKY | {"steps": 12, "step_factor": 1.5}),
    "si_ni_ti_dim_strong": NamedAttack(_OWN, _NI | _TI | _ONE_OF_THREE | _LEAKY | {"steps": 48, "step_factor": 2.0}),
    # With the larger diverse inputs of DEM, of five scale copies: each step sees one of 25.
    "si_ni_ti_dem": NamedAttack(_OWN, _NI | _TI | _SCALE_AND_DEM | {"copies_a_step": 1, "steps": 50}),
    "vmi_fgsm": NamedAttack("Wang and He, CVPR 2021", {"direction": "vmi"}),
    "vni_fgsm": NamedAttack("Wang and He, CVPR 2021", {"direction": "vni"}),
    "emi_fgsm": NamedAttack("Wang et al., BMVC 2021", {"direction": "emi"}),
    "gra": NamedAttack("Zhu et al., ICCV 2023", {"direction": "gra", "update": {"sign": {"decay": 0.94}}}),
    "pgn": NamedAttack("Ge et al., NeurIPS 2023", {"direction": "pgn"}),
    "gi_fgsm": NamedAttack("Wang et al., Global Momentum Initialization, 2024", {"warm_up_steps": 5}),
    "ai_fgtm": NamedAttack("Zou et al., AAAI 2022", {"update": "adam_tanh"}),
    "admix": NamedAttack("Wang et al., ICCV 2021", {"views": [{"admix": {"copies": 3}}, {"scale": 5}]}),
    "ssm": NamedAttack("Long et al., ECCV 2022", _UNIT | {"views": ["ssm"]}),
    "sia": NamedAttack("Wang et al., ICCV 2023", _UNIT | {"views": ["sia"]}),
    "bsr": NamedAttack("Wang et al., CVPR 2024", {"views": ["bsr"]}),
    # Its steps are as long as the budget ("region fitting").
    "dem": NamedAttack("Zou et al., ECCV 2020", {"views": ["dem"], "step_factor": 10.0, "kernel_size": 15}),
    "logit_targeted": NamedAttack(
        "Zhao et al., NeurIPS 2021",
        _UNIT
        | {"loss": "logit", "target": "random", "steps": 300, "step_size": "2/255", "kernel_size": 5}
        | {"diversity_probability": 0.7, "gradient_norm": "none"},
    ),
}

CARLINI_WAGNER = "Carlini and Wagner, IEEE S&P 2017"
