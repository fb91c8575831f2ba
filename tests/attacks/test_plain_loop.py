"""Every attack against a plain loop in float64, which reads as the papers do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_adv.attacks import count_passes, create_attack, describe_attack
from lit_adv.attacks.directions import DIRECTIONS
from lit_adv.attacks.named import FAMILY
from lit_adv.models import Ensemble
from tests.attacks.conftest import tiny_network
from tests.attacks.reference import Surrogate, plain_attack

KEYS = ["first", "second", "third"]
#: So many passes are enough to tell two attacks apart.
PASSES = 40


def small(name: str, **options: Any) -> dict[str, Any]:
    """Return all settings of an attack, with fewer samples, copies and steps where it takes many passes."""
    settings = describe_attack(name, **options)
    for part in (*(settings.get("views") or []), *(settings[kind] for kind in ("direction",) if kind in settings)):
        if isinstance(part, dict):
            for given in part.values():
                given |= {key: min(given[key], 3) for key in ("samples", "inner") if key in given}
                given |= {key: 3 for key in ("copies",) if given.get(key, 0) > 5}
    passes = count_passes(name, **settings)
    if passes > PASSES:
        settings["steps"] = max(2, settings["steps"] * PASSES // passes)
        settings["warm_up_steps"] = min(settings.get("warm_up_steps", 0), 2)
    return settings


def assert_equal(name: str, settings: dict[str, Any], network: nn.Module, images: Tensor, labels: Tensor) -> None:
    made = create_attack(name, network, **settings)(images, labels, KEYS)
    surrogate = Surrogate(network.members, network.weights.tolist()) if isinstance(network, Ensemble) else network  # type: ignore[arg-type]
    plain = plain_attack(surrogate, images, labels, KEYS, settings)
    torch.testing.assert_close(made, plain, rtol=0, atol=1e-9)
    assert (made != images).double().mean() > 0.5


@pytest.mark.parametrize("name", FAMILY)
def test_each_named_attack(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> None:
    assert_equal(name, small(name), network, images, labels)


@pytest.mark.parametrize(
    "options",
    [
        {"scale_space": "unit"},
        {"interpolation": "bilinear"},
        {"gradient_norm": "l1"},
        {"gradient_norm": "none"},
        {"eps": "8/255", "step_size": "2/255"},
        {"target": "given"},
        {"target": "least_likely"},
        {"target": "random", "seed": 5},
        {"label_source": "predicted"},
        {"momentum": 0.5, "step_factor": 2.0},
        {"random_start": True, "seed": -3},
        {"warm_up_steps": 2, "warm_up_factor": 3.0},
        {"copies_a_step": 2},
        {"copies_a_step": 5, "copy_order": "drawn"},
        {"copies_a_step": 1, "copy_order": "drawn", "steps": 12, "diversity_probability": 1.0},
        {"copies_a_step": 3, "copy_order": "drawn", "scale_copies": 7, "scale_space": "unit"},
        {"copies_a_step": 2, "scale_copies": 3, "target": "given"},
        {"copies_a_step": 2, "copy_order": "drawn", "target": "given"},
        {"direction": {"vni": 3}, "nesterov": False, "steps": 3},
        {"direction": {"vni": 2}, "copies_a_step": 1, "copy_order": "drawn"},
        {"direction": {"gra": {"samples": 2, "beta": 0.5}}, "update": {"sign": 0.5}, "copies_a_step": 2},
        {"update": "adam_tanh", "steps": 4},
        {"update": "adam_tanh", "steps": 3, "warm_up_steps": 2, "momentum": 0.0},
        {"loss": "logit"},
        {"loss": "margin", "update": {"adam_tanh": {"scale": 0.5, "mu_1": 0.3}}, "steps": 3},
        {"loss": "margin", "target": "random"},
        {"loss": "po_trip", "target": "random"},
        {"loss": {"po_trip": {"weight": 2.0, "margin": 1.0, "shrink": 0.1}}, "target": "given"},
    ],
    ids=str,
)
def test_each_option(options: dict[str, Any], network: nn.Module, images: Tensor, labels: Tensor) -> None:
    assert_equal("si_ni_ti_dim", describe_attack("si_ni_ti_dim", **{"steps": 5} | options), network, images, labels)


@pytest.mark.parametrize(
    "options",
    [
        {"views": []},
        {"views": [{"scale": 2}, "diverse"], "scale_space": "unit"},
        {"views": ["affine", "hue", "blur"]},
        {"views": [{"affine": {"degrees": 180, "translate": 0.5, "zoom": 2.0, "copies": 3}}]},
        {"views": [{"hue": {"degrees": 180, "copies": 2}}, {"blur": {"sigma": 6.0, "copies": 2}}]},
        {"views": [{"admix": {"copies": 2, "strength": 0.7}}, {"admix": {"copies": 2}}, {"scale": 2}]},
        {"views": [{"admix": 2}, {"scale": 2}], "target": "given"},
        {"views": [{"ssm": {"copies": 2, "noise": "32/255", "rho": 1.5}}, {"ssm": {"copies": 1}}]},
        {"views": [{"sia": {"copies": 3, "blocks": 16, "noise": 0.5}}]},
        {"views": [{"sia": {"copies": 2}}, {"sia": {"copies": 2, "blocks": 1}}], "scale_space": "unit"},
        {"views": [{"bsr": {"copies": 2, "blocks": 5, "rotation": 180}}, {"bsr": 2}]},
        {"views": [{"bsr": {"copies": 3, "blocks": 16, "rotation": 0.0}}], "copies_a_step": 1, "copy_order": "drawn"},
        {"views": ["dem", {"dem": [2.5]}], "copies_a_step": 2, "copy_order": "drawn"},
        {"views": [{"dem": {"ratios": [1.2, 3], "interpolation": "nearest"}}, {"scale": 2}], "copies_a_step": 3},
        {"views": [{"scale": 3}, {"admix": 2}, {"dem": [1.3, 1.8]}], "copies_a_step": 4, "copy_order": "drawn"},
        {
            "views": [{"scale": 2}, {"diverse": 0.5}, {"bsr": {"copies": 2, "rotation": 24}}],
            "direction": {"vni": 2},
            "kernel_size": 7,
            "loss": "logit",
            "target": "random",
        },
        {"direction": {"pgn": 2}, "nesterov": True},
        {"direction": {"emi": 3}, "nesterov": True, "warm_up_steps": 1},
        {"direction": {"emi": 3}, "views": [{"hue": 2}, {"scale": 2}], "copies_a_step": 2},
        {"views": [{"ssm": 2}], "direction": {"pgn": {"samples": 2, "zeta": 1.0, "delta": 0.2}}, "loss": "margin"},
        {"views": [{"sia": 2}], "direction": {"emi": {"samples": 3, "radius": 2.0}}, "update": "adam_tanh"},
        {"views": [{"scale": 3}, {"dem": [1.2, 1.4]}], "copies_a_step": 1, "warm_up_steps": 2},
    ],
    ids=str,
)
def test_parts_in_combination(options: dict[str, Any], network: nn.Module, images: Tensor, labels: Tensor) -> None:
    assert_equal("mi_fgsm", describe_attack("mi_fgsm", steps=3, seed=4, **options), network, images, labels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"direction": {"vni": 2}},
        {"direction": "longitudinal"},
        {"direction": {"longitudinal_ni": 2}, "views": [{"scale": 2}, {"diverse": 1.0}]},
        {"direction": "longitudinal", "views": [{"scale": 3}], "copies_a_step": 1, "steps": 10},
        {"direction": {"longitudinal": 2}, "views": [{"scale": 3}], "copies_a_step": 2, "steps": 7},
        {"direction": {"svre": 4}},
        {"direction": {"svre": {"inner": 3, "momentum": 0.5}}, "views": [{"bsr": 2}], "target": "given"},
        {"direction": "cwa", "step_factor": 2.0},
        {"direction": {"cwa": {"reverse": "8/255", "inner": 0.5, "momentum": 0.9}}, "views": ["diverse"]},
        {"direction": "cwa", "loss": "logit", "target": "random", "kernel_size": 3, "nesterov": True},
        {"direction": {"svre": 2}, "nesterov": True},
    ],
    ids=str,
)
def test_each_direction_on_an_ensemble(options: dict[str, Any], images: Tensor, labels: Tensor) -> None:
    direction = options.get("direction", "plain")
    name = direction if isinstance(direction, str) else next(iter(direction))
    # Numbers of members, and weights, that float32 holds exactly.
    members, weights = (3, [1.0, 1, 2]) if DIRECTIONS[name].uses_weights else (4, [1.0] * 4)
    ensemble = Ensemble([tiny_network(seed) for seed in range(members)], weights)
    assert_equal("mi_fgsm", describe_attack("mi_fgsm", **{"steps": 4} | options), ensemble, images, labels)
