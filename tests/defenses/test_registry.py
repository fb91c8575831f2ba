"""Defenses by name."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lit_adv.defenses import Defense, Denoiser, create_defense, list_defenses
from lit_adv.models.classifier import Classifier


def test_eight_defenses_have_names() -> None:
    assert list_defenses() == ["bit_depth", "comdefend", "fd", "hgd", "jpeg", "nips_r3", "rp", "rs"]


@pytest.mark.parametrize("name", list_defenses())
def test_every_defense_defends_a_classifier(
    name: str, images: Tensor, keys: list[str], classifier: nn.Module, comdefend_weights: Path, tmp_path: Path
) -> None:
    denoiser = tmp_path / "denoiser.safetensors"
    save_file(Denoiser().state_dict(), denoiser)
    options = {"comdefend": {"weights": comdefend_weights}, "hgd": {"weights": denoiser}}.get(name, {})
    defense = create_defense(name, Classifier(classifier, input_size=40, resize=True), **options)
    assert isinstance(defense, Defense)
    assert not any(module.training for module in defense.modules())
    with torch.no_grad():
        scores, predictions = defense(images, keys), defense.predict(images, keys)
    assert scores.shape == (5, 10)
    assert scores.dtype == torch.float32
    assert predictions.dtype == torch.int64
    assert ((predictions == scores.argmax(1)) | (predictions == -1)).all()


def test_options_reach_the_defense() -> None:
    assert create_defense("jpeg", nn.Identity(), quality=20).quality == 20


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rs", {"n": 1e3}, "option n of defense 'rs' is 1000.0, but must be of type int"),
        ("rs", {"sigma": True}, "option sigma of defense 'rs' is True, but must be of type float"),
        ("rs", {"sigma": float("nan")}, "sigma must be positive, not nan"),
        ("rp", {"iterations": 30.0}, "option iterations of defense 'rp' is 30.0, but must be of type int"),
        ("jpeg", {"quality": True}, "option quality of defense 'jpeg' is True, but must be of type int"),
        ("bit_depth", {"bits": 2.5}, "option bits of defense 'bit_depth' is 2.5, but must be of type int"),
        ("comdefend", {"channels": "gbr"}, "is 'gbr', but must be one of bgr, rgb"),
        ("comdefend", {"weights": 3}, "is 3, but must be of type str or of type Path or null"),
        ("hgd", {"mean": "0.5"}, "option mean of defense 'hgd' is '0.5', but must be a list of float"),
        ("hgd", {"std": [0.5, None, 0.5]}, "must be a list of float"),
        ("hgd", {"align_corners": 1}, "is 1, but must be of type bool"),
        ("nips_r3", {"members": [{"view": "ens"}]}, "must be a list of Member"),
    ],
)
def test_an_option_of_a_wrong_type_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_defense(name, nn.Identity(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mean": [0.5, 0.5]}, "mean must be three numbers"), ({"std": [0.5, 0, 0.5]}, "std must be positive")],
)
def test_a_denoiser_s_normalization_has_three_channels(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_file(Denoiser().state_dict(), tmp_path / "denoiser.safetensors")
    with pytest.raises(ValueError, match=message):
        create_defense("hgd", nn.Identity(), weights=tmp_path / "denoiser.safetensors", **options)


def test_whole_numbers_and_lists_are_taken_for_what_they_can_be(tmp_path: Path) -> None:
    assert create_defense("rs", nn.Identity(), sigma=1).sigma == 1
    save_file(Denoiser().state_dict(), tmp_path / "denoiser.safetensors")
    defense = create_defense("hgd", nn.Identity(), weights=str(tmp_path / "denoiser.safetensors"), mean=[0, 0.5, 1])
    assert defense.denoiser.mean.flatten().tolist() == [0, 0.5, 1]


def test_an_unknown_name_lists_the_defenses() -> None:
    with pytest.raises(ValueError, match=r"'jpg'.*bit_depth, comdefend, fd, hgd, jpeg, nips_r3, rp, rs"):
        create_defense("jpg", nn.Identity())


def test_an_unknown_option_lists_the_options() -> None:
    with pytest.raises(ValueError, match=r"'rp' has no option steps; its options: iterations=30, seed=0"):
        create_defense("rp", nn.Identity(), steps=3)
    with pytest.raises(ValueError, match=r"'fd' has no option quality; its options: none"):
        create_defense("fd", nn.Identity(), quality=3)
