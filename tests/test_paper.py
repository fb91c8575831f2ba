"""The paper's numbers."""

import csv
from importlib.resources import files
from typing import Any

import pytest

from lit_adv.attacks import describe_attack, list_attacks
from lit_adv.models import input_record
from lit_adv.paper import PAPER_NAMES, paper_success

FOUR = [
    "timm:inception_v3.tf_in1k",
    "timm:inception_v4.tf_in1k",
    "timm:inception_resnet_v2.tf_in1k",
    "timm:resnetv2_101.a1h_in1k",
]


SLIM = [
    "slim:inception_v3@w/inception_v3.ckpt?background=1&aux=0.4",
    "slim:inception_v4@w/tf2torch_inception_v4.npy?background=1&aux=0.4",
    "slim:inception_resnet_v2@w/inception_resnet_v2_2016_08_30.ckpt?background=1&aux=0.4",
    "slim:resnet_v2_101@w/resnet_v2_101.safetensors?background=1",
]


def made_with(attack: str, surrogates: list[str], **options: Any) -> dict[str, Any]:
    digests = dict.fromkeys(surrogates, "digest")
    return {"surrogate": digests, "attack": attack, "attack_options": describe_attack(attack, **options)}


@pytest.mark.parametrize(
    ("attack", "surrogates", "target", "expected"),
    [
        ("si_ni_ti_dim", FOUR[:1], "timm:inception_resnet_v2.tf_ens_adv_in1k", 0.407),  # Table 1 (c)
        ("tim", FOUR[1:2], "Inc-v3ens4", 0.233),  # Table 1 (a)
        ("dim", FOUR, "timm:inception_v4.tf_in1k", 0.992),  # Table 2
        ("mi_fgsm", FOUR, "R&P", 0.293),  # Table 3
        ("cw", FOUR[:1], "Res-101", 0.143),  # Table 4
        ("mi_fgsm", SLIM, "R&P", 0.293),
        ("tim", SLIM[1:2], "slim:inception_v3@w/ens4_adv_inception_v3_rename.ckpt.index", 0.233),
        ("tim", SLIM[1:2], "slim:inception_v3@w/mine.ckpt", None),
        ("tim", [f"{FOUR[1]}?size=299"], "timm:inception_v3.tf_in1k?size=299", 0.585),
        ("tim", [FOUR[1], "slim:inception_v4@w/inception_v4.ckpt"], "Inc-v3ens4", None),  # two, by one name
        ("tim", FOUR[1:2], "timm:inception_v3.tf_in1k@mine.safetensors", None),
        ("tim", FOUR[:1], "IncRes-v2", None),  # unreadable in the source
        ("mi_fgsm", FOUR[:1], "Inc-v4", None),  # not in the paper
        ("tim", ["wheel:efficientnet_lite0"], "Inc-v4", None),
        ("tim", FOUR[:3], "Inc-v4", None),
        ("tim", FOUR[:1], "wheel:efficientnet_lite1", None),
    ],
)
def test_a_cell_is_found_by_surrogate_attack_and_target(
    attack: str, surrogates: list[str], target: str, expected: float | None
) -> None:
    assert paper_success(made_with(attack, surrogates), target) == expected


def test_the_seed_does_not_matter_but_every_other_setting_does() -> None:
    assert paper_success(made_with("tim", FOUR[:1], seed=7), "Inc-v4") == 0.478
    assert paper_success(made_with("tim", FOUR[:1], eps="8/255"), "Inc-v4") is None
    assert paper_success(made_with("tim", FOUR[:1], steps=20), "Inc-v4") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"fusion": "logits", "ensemble_weights": None}, 0.992),
        ({"fusion": "logits", "ensemble_weights": [2, 2, 2, 2]}, 0.992),
        ({"fusion": "loss"}, None),
        ({"fusion": "probabilities"}, None),
        ({"fusion": "logits", "ensemble_weights": [9, 1, 1, 1]}, None),
    ],
)
def test_an_ensemble_fused_otherwise_has_no_number(settings: dict[str, Any], expected: float | None) -> None:
    assert paper_success(made_with("dim", FOUR) | settings, "timm:inception_v4.tf_in1k") == expected


def test_a_single_surrogate_is_fused_with_nothing() -> None:
    assert paper_success(made_with("tim", FOUR[:1]) | {"fusion": "loss", "ensemble_weights": [3]}, "Inc-v4") == 0.478


def test_another_library_s_attack_has_no_number() -> None:
    assert paper_success({"surrogate": {FOUR[0]: ""}, "attack": "torchattacks.PGD", "attack_options": {}}, "") is None


def test_every_row_names_an_attack_of_this_project_and_a_share() -> None:
    with files("lit_adv").joinpath("paper_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["attack"] for row in rows} <= set(list_attacks())
    assert all(0 <= float(row["success"]) <= 100 for row in rows)
    # A white-box target is the surrogate itself, or one of an ensemble.
    four = {PAPER_NAMES[spec] for spec in FOUR}
    for row in rows:
        members = four if row["surrogate"] == "ensemble" else {row["surrogate"]}
        assert (row["target"] in members) == (row["white_box"] == "1")


def test_the_paper_s_names_stand_for_models_that_exist() -> None:
    assert all(input_record(spec) is not None for spec in PAPER_NAMES)
