"""How the models to be fooled are named."""

import json
import re
from typing import Any

import pytest
import torch
from torch import nn

from lit_adv.defenses import NIPSR3, JPEGCompression, RandomizedSmoothing, ScoreSum
from lit_adv.models import Classifier, load_model, weights_sha256
from lit_adv.tasks.targets import check_target, load_targets, parse_target
from tests import models_of_tests
from tests.tiny_attacks import LINEAR, OTHER

KEYS = ["a", "b", "c"]


def images(size: int = 32) -> torch.Tensor:
    return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))


def only_32_pixels() -> Classifier:
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)), input_size=32)


def _nips_r3(**member: Any) -> dict[str, Any]:
    return {"defense": "nips_r3", "model": LINEAR, "members": [member]}


def test_a_model_s_spec_is_a_target_of_that_name() -> None:
    [target] = load_targets([LINEAR])
    model = load_model(LINEAR)
    assert target.name == LINEAR
    assert target.weights == {weights_sha256(model)}
    with torch.no_grad():
        assert torch.equal(target.predict(images(), KEYS), model(images()).argmax(1))


@pytest.mark.parametrize(
    "spec",
    [
        f"defense:rs({LINEAR}, sigma=0.1, n=20)",
        f"rs({LINEAR},n=20, sigma=1e-1)",
        {"defense": "rs", "model": LINEAR, "sigma": 0.1, "n": 20},
    ],
)
def test_a_defended_model_is_a_string_or_a_mapping(spec: str | dict[str, Any]) -> None:
    [target] = load_targets([spec])
    assert isinstance(target.module, RandomizedSmoothing)
    assert (target.module.sigma, target.module.n) == (0.1, 20)
    with torch.no_grad():
        expected = RandomizedSmoothing(load_model(LINEAR), sigma=0.1, n=20).predict(images(), KEYS)
        assert torch.equal(target.predict(images(), KEYS), expected)


def test_an_option_may_be_a_list() -> None:
    settings = parse_target("defense:hgd(timm:resnet18?size=224, mean=[0.4, 0.5, 0.6], weights=/a/b.ckpt)")
    assert settings == {
        "defense": "hgd", "model": "timm:resnet18?size=224", "mean": [0.4, 0.5, 0.6], "weights": "/a/b.ckpt"
    }  # fmt: skip


def test_a_mapping_is_called_by_its_name_or_like_the_string_that_means_the_same() -> None:
    named = {"name": "R&P", "defense": "rp", "model": LINEAR, "iterations": 2}
    unnamed = {"defense": "jpeg", "model": LINEAR, "quality": 75}
    targets = load_targets([named, unnamed, {"name": "plain", "model": OTHER}])
    assert [target.name for target in targets] == ["R&P", f"defense:jpeg({LINEAR}, quality=75)", "plain"]


def test_targets_share_a_model_that_they_have_in_common() -> None:
    plain, defended = load_targets([LINEAR, f"jpeg({LINEAR})"])
    assert plain.classifiers[0] is defended.classifiers[0]
    assert plain.weights == defended.weights


def test_the_members_of_an_ensemble_have_models_of_their_own() -> None:
    members = [{"view": "ens", "weight": 0.7, "model": LINEAR}, {"view": "tcd", "weight": 0.3, "model": OTHER}]
    [target] = load_targets([{"defense": "nips_r3", "model": LINEAR, "members": members}])
    assert isinstance(target.module, NIPSR3)
    assert [(member.view, member.weight) for member in target.module.members] == [("ens", 0.7), ("tcd", 0.3)]
    assert target.weights == {weights_sha256(load_model(LINEAR)), weights_sha256(load_model(OTHER))}


def test_a_member_without_a_model_is_the_defended_one() -> None:
    [target] = load_targets([_nips_r3(view="ens", weight=1)])
    [expected] = load_targets([_nips_r3(view="ens", weight=1, model=LINEAR)])
    assert isinstance(target.module, NIPSR3)
    assert target.module.members[0].model is None
    with torch.no_grad():
        assert torch.equal(target.module(images(), KEYS), expected.module(images(), KEYS))


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ("rp(MODEL)", True),
        ("nips_r3(MODEL)", True),
        ({"sum": ["jpeg(MODEL)", "rp(MODEL)"]}, True),
        ("jpeg(MODEL)", False),
        ("MODEL", False),
    ],
)
def test_the_record_tells_auxiliary_heads_apart_where_they_are_scored_with(
    spec: Any, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, weights = [], []
    for model, value in zip([models_of_tests.two_headed(), models_of_tests.two_headed()], (0.1, 0.2), strict=True):
        nn.init.constant_(model.network.AuxLogits[2].bias, value)
        monkeypatch.setattr(models_of_tests, "linear", lambda model=model: model)
        [target] = load_targets([json.loads(json.dumps(spec).replace("MODEL", LINEAR))])
        records.append(target.record)
        weights.append(target.weights)
    assert (records[0] != records[1]) == counts
    assert all(("auxiliary_sha256" in record) == counts for record in records)
    assert weights[0] == weights[1]  # the white box is that of the same main head


def test_the_record_of_a_defense_of_one_head_is_what_it_was() -> None:
    [target] = load_targets([f"rp({LINEAR})"])
    assert {*target.record} == {"settings", "weights_sha256", "classifiers"}


def test_scores_of_defended_models_can_be_summed() -> None:
    parts = [f"jpeg({LINEAR})", {"defense": "jpeg", "model": OTHER}]
    [target] = load_targets([{"sum": parts}])
    assert target.name == f"jpeg({LINEAR}) + defense:jpeg({OTHER})"
    expected = ScoreSum([JPEGCompression(load_model(LINEAR)), JPEGCompression(load_model(OTHER))])
    with torch.no_grad():
        assert torch.equal(target.predict(images(), KEYS), expected.predict(images(), KEYS))


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "names no model"),
        ([LINEAR, LINEAR], "two targets are called"),
        (["resnet50"], "is not of the form source:name"),
        ([f"shield({LINEAR})"], "unknown defense 'shield'; the defenses are bit_depth, comdefend"),
        ([f"jpeg({LINEAR}, size=3)"], "defense 'jpeg' has no option size; its options: quality="),
        ([f"rs({LINEAR}, sigma=much)"], f"target 'defense:rs({LINEAR}, sigma=much)': option sigma of defense 'rs' is"),
        ([f"rs({LINEAR}, n=1e3)"], "option n of defense 'rs' is 1000.0, but must be of type int"),
        ([{"defense": "nips_r3", "model": LINEAR, "members": 3}], "members is 3, but must be a list of dict"),
        ([_nips_r3(weight=0.7)], "members[0] has no view; for instance {view: ens, "),
        ([_nips_r3(view="ens")], "members[0] has no weight; for instance {view: ens, "),
        ([_nips_r3(view="ens", weight="much")], "weight of members[0] is 'much', but must be of type float"),
        ([_nips_r3(view="end", weight=1)], "view of members[0] is 'end', but must be one of tcd, ens, inc, vgg"),
        ([_nips_r3(view="ens", weight=1, model=3)], "model of members[0] is 3, but must be of type str or null"),
        ([_nips_r3(view="ens", weight=1, seed=3)], "members[0] has seed, but its keys are view, weight, model"),
        ([f"jpeg({LINEAR}, quality=3, quality=4)"], "gives 'quality' twice"),
        ([f"jpeg(jpeg({LINEAR}))"], "is not of the form source:name"),
        ([{"defense": "jpeg"}], "names no model"),
        ([{"model": LINEAR, "quality": 3}], "has options, quality, but names no defense"),
        ([{"sum": [LINEAR]}], "must be a sum of defended models"),
    ],
)
def test_a_wrong_target_is_named(specs: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_targets(specs)


@pytest.mark.parametrize("defense", ["hgd", "comdefend"])
def test_missing_weights_of_a_defense_say_where_to_get_them(defense: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"https://github\.com/"):
        load_targets([f"{defense}({LINEAR})"])


def test_a_target_of_other_classes_is_refused() -> None:
    [target] = load_targets([LINEAR])
    check_target(target, image_size=32, num_classes=10)
    with pytest.raises(ValueError, match=r"tells 10 classes apart, but the labels of the shards lie in \[0, 1000\)"):
        check_target(target, image_size=32, num_classes=1000)


def test_a_target_that_cannot_take_the_images_is_told_to_resize_them() -> None:
    spec = "import:tests.tasks.test_targets:only_32_pixels"
    fixed, resizing = load_targets([spec, f"{spec}?size=32"])
    check_target(fixed, image_size=32, num_classes=10)
    check_target(resizing, image_size=40, num_classes=10)
    with pytest.raises(ValueError, match=r"cannot take images of 40 x 40 pixels .* append \?size=N"):
        check_target(fixed, image_size=40, num_classes=10)
