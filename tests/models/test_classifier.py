"""What a loss is over, and resizing to the size that a network's weights were made for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier
from lit_adv.models.classifier import resize, resize_by_products


class TwoHeads(nn.Module):
    """Logits of five outputs, the first of which is a background class, and those of an auxiliary head."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.main, self.auxiliary = nn.Linear(48, 5), nn.Linear(48, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.main(images.flatten(1)), self.auxiliary(images.flatten(1))


@pytest.fixture
def two_heads() -> Classifier:
    return Classifier(TwoHeads(), class_offset=1).double()


IMAGES = torch.rand(4, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(4)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("aux_weight", [0.0, 0.4])
def test_the_loss_is_over_what_counts(background: bool, aux_weight: float, two_heads: Classifier) -> None:
    two_heads.background, two_heads.aux_weight = background, aux_weight
    leaf = IMAGES.clone().requires_grad_()
    first = 0 if background else 1
    main, auxiliary = (
        F.cross_entropy(logits[:, first:], LABELS + 1 - first, reduction="none") for logits in two_heads.network(leaf)
    )
    torch.testing.assert_close(two_heads.attack_loss(leaf, LABELS), main + aux_weight * auxiliary)
    (gradient,) = torch.autograd.grad((main + aux_weight * auxiliary).sum(), leaf)
    made = create_attack("fgsm", two_heads, eps=0.01)(IMAGES, LABELS)
    torch.testing.assert_close(made, (IMAGES + 0.01 * gradient.sign()).clamp(0, 1))


def test_predictions_are_of_the_data_s_classes_whatever_the_loss_is_over(two_heads: Classifier) -> None:
    main, auxiliary = two_heads.network(IMAGES)
    two_heads.background, two_heads.aux_weight = True, 0.4
    assert torch.equal(two_heads(IMAGES), main[:, 1:])
    assert [logits.shape for logits in two_heads.head_logits(IMAGES)] == [(4, 4), (4, 4)]
    assert torch.equal(two_heads.head_logits(IMAGES)[1], auxiliary[:, 1:])


@pytest.mark.parametrize(("height", "width", "size"), [(31, 31, 20), (20, 27, 33), (24, 24, 24)])
def test_the_form_for_gpus_resizes_as_torch_does(height: int, width: int, size: int) -> None:
    images = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    expected = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    weights = torch.rand_like(expected)
    (gradient,) = torch.autograd.grad((weights * expected).sum(), images)
    for form in (resize, resize_by_products):
        resized = form(images, size)
        torch.testing.assert_close(resized, expected, rtol=0, atol=1e-12)
        (found,) = torch.autograd.grad((weights * resized).sum(), images)
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-12)


def test_resizing_keeps_its_precision_under_autocast() -> None:
    images = torch.rand(2, 3, 31, 31)
    with torch.autocast("cpu", torch.bfloat16):
        resized = resize_by_products(images, 20)
    assert resized.dtype == torch.float32
    torch.testing.assert_close(resized, resize(images, 20), rtol=0, atol=1e-5)
