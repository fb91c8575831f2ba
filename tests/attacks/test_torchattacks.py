"""SI-NI-FGSM against an independent implementation, on a real model and real images."""

import pytest
import torch
from torch import Tensor

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier

torchattacks = pytest.importorskip("torchattacks")

EPS = 16 / 255


def both(model: Classifier, images: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    theirs = torchattacks.SINIFGSM(model, eps=EPS, alpha=EPS / 10, steps=steps, decay=1.0, m=5)
    ours = create_attack(
        "si_ni_fgsm", model, eps=EPS, step_size=EPS / 10, steps=steps, momentum=1.0, scale_space="unit"
    )
    return ours(images, labels), theirs(images, labels)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_first_steps_are_equal_bit_for_bit(
    steps: int, lite0: Classifier, real_images: tuple[Tensor, Tensor]
) -> None:
    # A power of two: the other library's mean over the batch then scales gradients exactly.
    images, labels = real_images[0][:4], real_images[1][:4]
    ours, theirs = both(lite0, images, labels, steps)
    assert torch.equal(ours, theirs)


def test_ten_steps_agree_in_success_rate_and_mean_perturbation(
    lite0: Classifier, real_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = real_images[0][:2], real_images[1][:2]
    ours, theirs = both(lite0, images, labels, steps=10)
    with torch.no_grad():
        ours_fooled, theirs_fooled = (int((lite0(x).argmax(1) != labels).sum()) for x in (ours, theirs))
    assert ours_fooled == theirs_fooled
    torch.testing.assert_close((ours - images).abs().mean(), (theirs - images).abs().mean(), rtol=0.01, atol=0)
