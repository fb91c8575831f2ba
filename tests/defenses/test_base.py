"""What every defense promises."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from lit_adv.defenses import Defense, FeatureDistillation, Purifier


class Negative(Purifier):
    """Shows the classifier the negative."""

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        return 1 - images


def test_a_purifier_classifies_the_purified_images(images: Tensor, keys: list[str], classifier: nn.Module) -> None:
    torch.testing.assert_close(Negative(classifier)(images, keys), classifier(1 - images))


def test_the_prediction_is_the_class_of_the_largest_score(
    images: Tensor, keys: list[str], classifier: nn.Module
) -> None:
    predictions = Negative(classifier).predict(images, keys)
    assert predictions.dtype == torch.int64
    assert predictions.tolist() == classifier(1 - images).argmax(1).tolist()


def test_there_must_be_one_key_for_each_image(images: Tensor, classifier: nn.Module) -> None:
    with pytest.raises(ValueError, match="5 images but 1 keys"):
        Negative(classifier)(images, ["only"])


def test_purification_keeps_single_precision_under_autocast(images: Tensor, keys: list[str]) -> None:
    defense: Defense = FeatureDistillation(nn.Flatten())
    expected = defense(images, keys)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = defense(images, keys)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, expected)


def test_purification_keeps_convolutions_on_a_gpu_from_rounding(images: Tensor, keys: list[str]) -> None:
    seen: list[bool] = []

    class Noting(Purifier):
        def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return images

    before = torch.backends.cudnn.allow_tf32
    Noting(nn.Flatten())(images, keys)
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before
