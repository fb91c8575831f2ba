"""How many classes a model tells apart."""

import pytest
import timm
import torch
from torch import nn

from lit_adv.models import Classifier, Ensemble, count_classes, optimize


def background() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1001))


def test_a_background_class_is_counted_until_the_classifier_drops_it() -> None:
    assert count_classes(Classifier(background()), 32) == 1001
    assert count_classes(Classifier(background(), class_offset=1), 32) == 1000


def test_a_size_that_the_model_cannot_take_is_named() -> None:
    model = Classifier(timm.create_model("vit_tiny_patch16_224", num_classes=10))
    with pytest.raises(ValueError, match=r"it cannot take images of 100 x 100 pixels .* append"):
        count_classes(model.eval(), 100)


def test_a_model_in_half_precision_is_asked_in_its_own() -> None:
    assert count_classes(Classifier(background()).to(torch.bfloat16), 8) == 1001


def test_asking_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = optimize(Classifier(background()))
    monkeypatch.setattr(model, "_compiled_call_impl", lambda *_: pytest.fail("it was called"))
    assert count_classes(model, 8) == 1001


def test_an_ensemble_of_other_classes_is_refused_with_their_counts() -> None:
    members = [Classifier(background(), class_offset=offset) for offset in (1, 0)]
    with pytest.raises(ValueError, match=r"must have the same classes, but these tell \[1000, 1001\] classes apart"):
        Ensemble(members)(torch.rand(1, 3, 8, 8))
