"""Attacks by name."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from lit_adv.attacks import count_passes, create_attack, describe_attack, list_attacks

PAPER = {
    "fgsm": (1, 0, False, 1, 0, 0),
    "i_fgsm": (10, 0, False, 1, 0, 0),
    "pgd": (10, 0, False, 1, 0, 0),
    "mi_fgsm": (10, 1, False, 1, 0, 0),
    "ni_fgsm": (10, 1, True, 1, 0, 0),
    "dim": (10, 1, False, 1, 0.5, 0),
    "tim": (10, 1, False, 1, 0, 7),
    "ti_dim": (10, 1, False, 1, 0.5, 7),
    "si_fgsm": (10, 0, False, 5, 0, 0),
    "si_mi_fgsm": (10, 1, False, 5, 0, 0),
    "si_ni_fgsm": (10, 1, True, 5, 0, 0),
    "si_ni_dim": (10, 1, True, 5, 0.5, 0),
    "si_ni_tim": (10, 1, True, 5, 0, 7),
    "si_ni_ti_dim": (10, 1, True, 5, 0.5, 7),
}
# Attacks of this project's own: their passes, and what they change of si_ni_ti_dim.
_ONE_OF_THREE = {"scale_copies": 3, "copies_a_step": 1, "diversity_probability": 1.0}
_LEAKY = {"backward": {"leaky": {"slope": 0.1}}}
OWN = {
    "si_ni_ti_dim_fast": (12, _ONE_OF_THREE | _LEAKY | {"steps": 12, "step_factor": 1.5}),
    "si_ni_ti_dim_strong": (48, _ONE_OF_THREE | _LEAKY | {"steps": 48, "step_factor": 2.0}),
}
MI_FGSM = describe_attack("mi_fgsm")
_UNIT = {"scale_space": "unit"}
# Attacks since the paper: their passes, and what they have that MI-FGSM has not.
LATER: dict[str, tuple[int, dict[str, Any]]] = {
    "si_ni_ti_dem": (
        50,
        {
            "views": [
                {"scale": {"copies": 5}},
                {"dem": {"ratios": [1.14, 1.27, 1.4, 1.53, 1.66], "interpolation": "bilinear"}},
            ],
            "copies_a_step": 1,
            "steps": 50,
            "nesterov": True,
            "kernel_size": 7,
        },
    ),
    "vmi_fgsm": (190, {"direction": {"vmi": {"samples": 20, "beta": 1.5}}}),
    "vni_fgsm": (190, {"direction": {"vni": {"samples": 20, "beta": 1.5}}}),
    "emi_fgsm": (100, {"direction": {"emi": {"samples": 11, "radius": 7.0}}}),
    "gra": (210, {"direction": {"gra": {"samples": 20, "beta": 3.5}}, "update": {"sign": {"decay": 0.94}}}),
    "pgn": (400, {"direction": {"pgn": {"samples": 20, "zeta": 3.0, "delta": 0.5}}}),
    "gi_fgsm": (15, {"warm_up_steps": 5}),
    "ai_fgtm": (
        10,
        {"update": {"adam_tanh": {"mu_1": 1.5, "mu_2": 1.9, "beta_1": 0.9, "beta_2": 0.99, "scale": 1.3}}},
    ),
    "admix": (150, {"views": [{"admix": {"copies": 3, "strength": 0.2}}, {"scale": {"copies": 5}}]}),
    "ssm": (200, {"views": [{"ssm": {"copies": 20, "noise": 16 / 255, "rho": 0.5}}]} | _UNIT),
    "sia": (200, {"views": [{"sia": {"copies": 20, "blocks": 3, "noise": 16 / 255}}]} | _UNIT),
    "bsr": (200, {"views": [{"bsr": {"copies": 20, "blocks": 2, "rotation": 24.0}}]}),
    "dem": (
        50,
        {"views": [{"dem": {"ratios": [1.14, 1.27, 1.4, 1.53, 1.66], "interpolation": "nearest"}}]}
        | {"step_factor": 10.0, "kernel_size": 15},
    ),
    "logit_targeted": (
        300,
        {"loss": {"logit": {}}, "target": "random", "steps": 300, "step_size": "2/255", "kernel_size": 5}
        | {"diversity_probability": 0.7, "gradient_norm": "none"}
        | _UNIT,
    ),
}
COLUMNS = ("steps", "momentum", "nesterov", "scale_copies", "diversity_probability", "kernel_size")


def test_every_attack_of_the_paper_has_a_name() -> None:
    assert list(list_attacks())[: len(PAPER) + len(OWN)] == [*PAPER, *OWN]
    assert {*LATER, "cw"} <= set(list_attacks())


@pytest.mark.parametrize("name", LATER)
def test_a_later_attack_has_the_parts_of_its_paper(name: str) -> None:
    passes, parts = LATER[name]
    described = describe_attack(name)
    assert {setting: value for setting, value in described.items() if value != MI_FGSM.get(setting)} == parts
    card = list_attacks()[name]
    assert card.passes == count_passes(name) == passes
    assert card.parts.keys() <= parts.keys() | {"scale_space"}


def test_every_attack_says_where_it_comes_from_what_it_takes_and_what_it_is_made_of() -> None:
    for name, card in list_attacks().items():
        assert card.paper
        assert card.passes > 0
        if name != "cw":
            assert describe_attack("mi_fgsm", **card.parts) == describe_attack(name)
    assert "ICCV 2021" in list_attacks()["admix"].paper
    with pytest.raises(TypeError):
        list_attacks()["mine"] = list_attacks()["cw"]  # type: ignore[index]


@pytest.mark.parametrize("name", PAPER)
def test_a_named_attack_has_the_settings_of_the_paper(name: str) -> None:
    settings = describe_attack(name)
    assert tuple(settings[column] for column in COLUMNS) == PAPER[name]
    assert settings["eps"] == 16 / 255
    assert settings["random_start"] == (name == "pgd")


@pytest.mark.parametrize("name", OWN)
def test_an_attack_of_the_projects_own_is_another_schedule_of_si_ni_ti_dim(name: str) -> None:
    passes, changes = OWN[name]
    assert describe_attack(name) == describe_attack("si_ni_ti_dim") | changes
    assert create_attack(name, nn.Flatten()).passes == passes


def test_a_schedule_is_described_where_it_is_used_alone() -> None:
    """Folders that were made before there were schedules can then be completed."""
    assert not {"copies_a_step", "copy_order"} & describe_attack("si_ni_ti_dim").keys()
    drawn = describe_attack("si_ni_ti_dim", copies_a_step=2, copy_order="drawn")
    assert (drawn["copies_a_step"], drawn["copy_order"]) == (2, "drawn")


def test_an_override_changes_one_setting_only() -> None:
    changed, plain = describe_attack("tim", kernel_size=15), describe_attack("tim")
    assert changed == plain | {"kernel_size": 15}


@pytest.mark.parametrize(
    ("name", "options", "dropped"),
    [
        ("si_ni_ti_dim", {"direction": "vmi"}, {"nesterov": False}),
        ("si_ni_ti_dim", {"direction": "plain"}, {"nesterov": False}),
        ("si_ni_ti_dim", {"direction": {"pgn": 2}, "nesterov": True}, {"nesterov": True}),
        ("dem", {"step_size": "2/255"}, {"step_factor": 1.0}),
        ("logit_targeted", {"step_factor": 2.0}, {"step_size": None}),
    ],
    ids=str,
)
def test_an_option_that_decides_alone_takes_the_place_of_what_a_named_attack_says(
    name: str, options: dict[str, Any], dropped: dict[str, Any]
) -> None:
    described = describe_attack(name, **options)
    assert {setting: described[setting] for setting in dropped} == dropped
    assert describe_attack(name, **described) == described


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("si-ni-tidim", {}, "unknown attack 'si-ni-tidim', did you mean 'si_ni_ti_dim'?; known: fgsm, "),
        ("mi_fgsm", {"epsilon": 0.1}, "attack 'mi_fgsm' has no option 'epsilon'; its options: eps, steps"),
        ("mi_fgsm", {"eps": 16}, "eps 16 is not in [0, 1]; grey levels are written as a fraction: 16/255"),
        ("mi_fgsm", {"eps": "sixteen"}, "eps 'sixteen' is not a number"),
        ("mi_fgsm", {"step_size": 2}, "step_size 2 is not in [0, 1]; grey levels are written as a fraction: 2/255"),
        ("mi_fgsm", {"step_size": "two"}, "step_size 'two' is not a number"),
        ("mi_fgsm", {"step_size": "2/255", "step_factor": 2.0}, "step_size '2/255' and step_factor 2.0 are both given"),
        ("mi_fgsm", {"step_size": 0}, "step_size 0 moves no image: make it positive, or leave it out"),
        ("mi_fgsm", {"step_size": "0/255"}, "step_size '0/255' moves no image: make it positive, or leave it out"),
        ("dem", {"step_factor": 0.0}, "step_factor 0.0 moves no image: make it positive, or leave it out"),
        ("i_fgsm", {"warm_up_steps": 2}, "warm_up_steps accumulate a gradient that momentum 0 forgets: set momentum"),
        ("mi_fgsm", {"steps": 0}, "steps is 0, but must be in [1, inf]"),
        ("mi_fgsm", {"steps": "ten"}, "steps is 'ten', but must be of type int"),
        ("mi_fgsm", {"target": "any"}, "target is 'any', but must be one of given, least_likely, random or null"),
        ("mi_fgsm", {"interpolation": "cubic"}, "interpolation is 'cubic', but must be one of nearest, bilinear"),
        ("si_ni_ti_dim", {"copies_a_step": 6}, "copies_a_step is 6, but must be in [1, 5]"),
        ("si_ni_ti_dim", {"copies_a_step": 0}, "copies_a_step is 0, but must be in [1, 5]"),
        ("mi_fgsm", {"diversity_probability": 1.5}, "diversity_probability is 1.5, but must be in [0, 1]"),
        ("tim", {"kernel_size": 6}, "kernel_size 6 must be odd"),
        ("cw", {"search_steps": 0}, "search_steps is 0, but must be in [1, inf]"),
        ("cw", {"learning_rate": 0}, "learning_rate is 0, but must be in [1e-30, 1e+30]"),
        ("cw", {"learning_rate": -1}, "learning_rate is -1, but must be in [1e-30, 1e+30]"),
        ("cw", {"initial_constant": 0.0}, "initial_constant is 0.0, but must be in [1e-30, 1e+30]"),
        ("cw", {"initial_constant": 1e-50}, "initial_constant is 1e-50, but must be in [1e-30, 1e+30]"),
        ("cw", {"eps": 0.1}, "attack 'cw' has no option 'eps'"),
    ],
)
def test_bad_input_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_attack(name, nn.Flatten(), **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mi_fgsm", {"steps": "10"}, "steps is '10', but must be of type int"),
        ("mi_fgsm", {"steps": 0}, "steps is 0, but must be in [1, inf]"),
        ("si_fgsm", {"copies_a_step": "2"}, "copies_a_step is '2', but must be of type int"),
        ("cw", {"search_steps": "9"}, "search_steps is '9', but must be of type int"),
        ("cw", {"steps": 0}, "steps is 0, but must be in [1, inf]"),
    ],
)
def test_passes_of_bad_input_are_not_counted(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        count_passes(name, **options)


def test_a_step_of_zero_is_for_a_budget_of_zero_and_for_uniform_noise() -> None:
    images = torch.rand(2, 3, 8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    still = create_attack("mi_fgsm", model, eps=0, step_size=0)
    assert torch.equal(still(images, torch.tensor([0, 1])), images)
    noise = create_attack("mi_fgsm", model, eps=0.1, step_size=0, random_start=True)
    assert (noise(images, torch.tensor([0, 1])) - images).abs().mean() > 0.03
