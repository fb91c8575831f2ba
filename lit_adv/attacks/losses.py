"""What an attack drives up, or down if it is targeted: losses by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks.objective import cross_entropy
from lit_adv.attacks.parts import Part


@dataclass(frozen=True)
class Goal:
    """What the loss is measured against.

    Attributes:
        labels: int64 [B], the class to drive away from or, if targeted, towards.
        origin: int64 [B], the true classes, or the surrogate's predictions of the clean images where these are not
            known; None for a loss that does not use them.
    """

    labels: Tensor
    origin: Tensor | None = None


class Loss(Part, Protocol):
    """The settings of a loss, with a row in :data:`LOSSES`.

    Attributes:
        targeted_only: Whether it makes sense for targeted attacks alone; such a one is told the images' origin.
    """

    targeted_only: ClassVar[bool] = False

    def __call__(self, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
        """Return the loss, summed over the batch: a scalar, in float32 at least."""
        ...


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """The cross-entropy J of the paper; what a model says of its own loss counts."""

    def __call__(self, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
        """See :func:`lit_adv.attacks.objective.cross_entropy`."""
        return cross_entropy(model, images, goal.labels)


@dataclass(frozen=True)
class Logit(Loss):
    """Minus the class's logit, -Z_y; its gradient does not fade when the class is reached (Zhao et al., 2021)."""

    def __call__(self, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
        """Return -Z_y."""
        return -_logits(model, images).gather(1, goal.labels[:, None]).sum()


@dataclass(frozen=True)
class Margin(Loss):
    """How far the best other class leads, max_{k != y} Z_k - Z_y (Carlini and Wagner, 2017)."""

    def __call__(self, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
        """Return the margin."""
        logits, labels = _logits(model, images), goal.labels[:, None]
        others = logits.scatter(1, labels, -inf).amax(1)
        return (others - logits.gather(1, labels)[:, 0]).sum()


@dataclass(frozen=True)
class PoTrip(Loss):
    """Poincare distance to the wanted class, and a triplet loss that leads away from the true one (Li et al., 2020).

        L = d_P(Z / |Z|_1, max(v - xi, 0)) + lambda max(D(Z, v) - D(Z, w) + gamma, 0)

    with one-hot vectors v of the wanted and w of the true class, d_P(a, b) = arcosh(1 + 2 |a - b|^2 / ((1 - |a|^2)
    (1 - |b|^2))) and D(a, b) = 1 - |a b| / (|a| |b|).

    Attributes:
        weight: Factor lambda of the triplet loss.
        margin: Its margin gamma.
        shrink: xi, which keeps the one-hot vector inside the ball.
    """

    targeted_only: ClassVar = True
    bounds: ClassVar = {"weight": (0, inf), "margin": (0, 2), "shrink": (1e-6, 0.5)}

    weight: float = 0.01
    margin: float = 0.007
    shrink: float = 1e-5

    def __call__(self, model: nn.Module, images: Tensor, goal: Goal) -> Tensor:
        """Return L."""
        logits = _logits(model, images)
        assert goal.origin is not None  # noqa: S101 - the attack finds it for losses of targeted attacks alone
        wanted, true = (F.one_hot(labels, logits.shape[1]).to(logits) for labels in (goal.labels, goal.origin))
        a, b = F.normalize(logits, p=1, dim=1), (wanted - self.shrink).clamp(min=0)
        ratio = 2 * (a - b).square().sum(1) / ((1 - a.square().sum(1)) * (1 - b.square().sum(1)))
        near, far = (F.cosine_similarity(logits, one_hot, dim=1).abs() for one_hot in (wanted, true))
        triplet = (far - near + self.margin).clamp(min=0)
        return (torch.acosh(1 + ratio) + self.weight * triplet).sum()


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = model(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


#: Losses by the names that configurations use.
LOSSES: Mapping[str, type[Loss]] = {
    "cross_entropy": CrossEntropy,
    "logit": Logit,
    "margin": Margin,
    "po_trip": PoTrip,
}
