"""Ensembles of surrogates."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier, Ensemble

WEIGHTS = [0.5, 0.3, 0.2]


@pytest.fixture
def members() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).double() for _ in WEIGHTS]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 4, 4, dtype=torch.float64)


def losses(members: list[nn.Module], images: Tensor, labels: Tensor, fusion: str) -> Tensor:
    """Compute each image's loss by the definition, member by member."""
    logits = [member(images) for member in members]
    if fusion == "logits":
        fused = sum(w * z for w, z in zip(WEIGHTS, logits, strict=True))
        return F.cross_entropy(fused, labels, reduction="none")
    if fusion == "probabilities":
        fused = sum(w * z.softmax(1) for w, z in zip(WEIGHTS, logits, strict=True))
        return -fused[range(len(labels)), labels].log()
    return sum(w * F.cross_entropy(z, labels, reduction="none") for w, z in zip(WEIGHTS, logits, strict=True))


@pytest.mark.parametrize("fusion", ["logits", "probabilities", "loss"])
def test_the_loss_and_the_attack_follow_the_definition(fusion: str, members: list[nn.Module], images: Tensor) -> None:
    labels = torch.tensor([0, 1, 2, 3])
    ensemble = Ensemble(members, WEIGHTS, fusion).double()
    torch.testing.assert_close(
        ensemble.loss(images, labels), losses(members, images, labels, fusion), rtol=1e-6, atol=1e-6
    )
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses(members, leaf, labels, fusion).sum(), leaf)
    made = create_attack("fgsm", ensemble, eps=0.01)(images, labels)
    torch.testing.assert_close(made, (images + 0.01 * gradient.sign()).clamp(0, 1))


@pytest.mark.parametrize("fusion", ["logits", "probabilities", "loss"])
def test_an_ensemble_of_one_decides_like_its_member(fusion: str, members: list[nn.Module], images: Tensor) -> None:
    assert torch.equal(Ensemble(members[:1], None, fusion)(images).argmax(1), members[0](images).argmax(1))


def test_each_member_sees_the_size_and_normalization_it_needs() -> None:
    seen: list[tuple[torch.Size, float]] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((x.shape, round(float(x.mean()), 4)))
            return x.mean((2, 3))

    members = [
        Classifier(Spy(), mean=[m] * 3, std=[s] * 3, input_size=side, resize=True)
        for m, s, side in ((0.5, 0.5, 32), (0.0, 0.25, 48))
    ]
    Ensemble(members)(torch.full((1, 3, 40, 40), 0.75))
    assert seen == [((1, 3, 32, 32), 0.5), ((1, 3, 48, 48), 3.0)]


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 0.0], [1.0, 1.0, -1.0]])
def test_there_must_be_one_positive_weight_for_each_member(weights: list[float], members: list[nn.Module]) -> None:
    with pytest.raises(ValueError, match="3 ensemble members need as many positive weights"):
        Ensemble(members, weights)
