"""Attacks by name."""

import re

import pytest
from torch import nn

from lit_adv.attacks import create_attack, describe_attack, list_attacks

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
OWN = {
    "si_ni_ti_dim_fast": (20, {"steps": 20, "copies_a_step": 1, "diversity_probability": 1.0}),
    "si_ni_ti_dim_strong": (50, {"steps": 50, "copies_a_step": 1, "diversity_probability": 1.0}),
}
COLUMNS = ("steps", "momentum", "nesterov", "scale_copies", "diversity_probability", "kernel_size")


def test_every_attack_of_the_paper_has_a_name() -> None:
    assert list_attacks() == [*PAPER, *OWN, "cw"]


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
    ("name", "options", "message"),
    [
        ("si-ni-tidim", {}, "unknown attack 'si-ni-tidim', did you mean 'si_ni_ti_dim'?; known: fgsm, "),
        ("mi_fgsm", {"epsilon": 0.1}, "attack 'mi_fgsm' has no option 'epsilon'; its options: eps, steps"),
        ("mi_fgsm", {"eps": 16}, "eps 16 is not in [0, 1]; grey levels are written as a fraction: 16/255"),
        ("mi_fgsm", {"eps": "sixteen"}, "eps 'sixteen' is not a number"),
        ("mi_fgsm", {"steps": 0}, "steps is 0, but must be in [1, inf]"),
        ("mi_fgsm", {"steps": "ten"}, "steps is 'ten', but must be of type int"),
        ("mi_fgsm", {"target": "any"}, "target is 'any', but must be one of given, least_likely, random or null"),
        ("mi_fgsm", {"interpolation": "cubic"}, "interpolation is 'cubic', but must be one of nearest, bilinear"),
        ("si_ni_ti_dim", {"copies_a_step": 6}, "copies_a_step is 6, but must be in [1, 5]"),
        ("si_ni_ti_dim", {"copies_a_step": 0}, "copies_a_step is 0, but must be in [1, 5]"),
        ("mi_fgsm", {"diversity_probability": 1.5}, "diversity_probability is 1.5, but must be in [0, 1]"),
        ("tim", {"kernel_size": 6}, "kernel_size 6 must be odd"),
        ("cw", {"search_steps": 0}, "search_steps is 0, but must be in [1, inf]"),
        ("cw", {"eps": 0.1}, "attack 'cw' has no option 'eps'"),
    ],
)
def test_bad_input_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_attack(name, nn.Flatten(), **options)
