"""Ensembles of surrogates."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier, Ensemble
from tests.models.test_classifier import TwoHeads

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
        ensemble.attack_loss(images, labels), losses(members, images, labels, fusion), rtol=1e-6, atol=1e-6
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


def with_heads(seed: int, aux_weight: float = 0.0) -> Classifier:
    model = Classifier(TwoHeads(seed), class_offset=1).double()
    model.background, model.aux_weight = True, aux_weight
    return model


@pytest.mark.parametrize("fusion", ["logits", "probabilities"])
def test_auxiliary_heads_are_fused_among_themselves(fusion: str, images: Tensor) -> None:
    """As the paper's authors do it, over all outputs: a fourth model has no such head."""
    labels = torch.tensor([0, 1, 2, 3])
    models = [with_heads(seed, aux_weight=0.4) for seed in range(3)] + [with_heads(3)]
    heads = [model.network(images) for model in models]
    main, auxiliary = [pair[0] for pair in heads], [pair[1] for pair in heads[:3]]
    if fusion == "logits":
        fused = [sum(main) / 4, sum(auxiliary) / 3]
    else:
        fused = [(sum(logits.softmax(1) for logits in head) / len(head)).log() for head in (main, auxiliary)]
    expected = [F.cross_entropy(scores, labels + 1, reduction="none") for scores in fused]
    loss = Ensemble(models, fusion=fusion).double().attack_loss(images, labels)  # type: ignore[arg-type]
    torch.testing.assert_close(loss, expected[0] + 0.4 * expected[1], rtol=1e-6, atol=1e-6)


def test_in_a_mean_of_losses_each_member_brings_its_own(images: Tensor) -> None:
    labels = torch.tensor([0, 1, 2, 3])
    models = [with_heads(0, aux_weight=0.4), with_heads(1)]
    expected = sum(model.attack_loss(images, labels) for model in models) / 2
    torch.testing.assert_close(Ensemble(models, fusion="loss").double().attack_loss(images, labels), expected)


def test_an_ensemble_predicts_the_data_s_classes(images: Tensor) -> None:
    assert Ensemble([with_heads(0, aux_weight=0.4), with_heads(1)]).double()(images).shape == (4, 4)


def test_options_of_a_loss_that_cannot_be_fused_are_refused(images: Tensor) -> None:
    labels, one, other = torch.tensor([0, 1, 2, 3]), with_heads(0, aux_weight=0.4), with_heads(1, aux_weight=0.2)
    with pytest.raises(ValueError, match=r"must have the same option aux, not \[0\.4, 0\.2\]"):
        Ensemble([one, other]).double().attack_loss(images, labels)
    other.background = False
    with pytest.raises(ValueError, match="must have the same option background"):
        Ensemble([one, other]).double().attack_loss(images, labels)
