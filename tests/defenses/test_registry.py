"""Defenses by name."""

from pathlib import Path

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


def test_an_unknown_name_lists_the_defenses() -> None:
    with pytest.raises(ValueError, match=r"'jpg'.*bit_depth, comdefend, fd, hgd, jpeg, nips_r3, rp, rs"):
        create_defense("jpg", nn.Identity())


def test_an_unknown_option_lists_the_options() -> None:
    with pytest.raises(ValueError, match=r"'rp' has no option steps; its options: iterations=30, seed=0"):
        create_defense("rp", nn.Identity(), steps=3)
    with pytest.raises(ValueError, match=r"'fd' has no option quality; its options: none"):
        create_defense("fd", nn.Identity(), quality=3)
