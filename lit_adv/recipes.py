"""What adversarial training minimizes: for each recipe one loss, as a function of logits.

A training step has three parts: where the data brings no adversarial images, the recipe makes some
(:meth:`Recipe.attack`); the model classifies what the recipe looks at; the recipe turns the logits into the terms of
its loss (:meth:`Recipe.terms`), whose weighted sum is minimized. ``configs/train`` has the literature's settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.attacks import LiveAttack, eval_mode


class Recipe(ABC):
    """A loss, and the attack that goes with it.

    Attributes:
        views: What the model is shown for the loss: ``clean`` images, their ``adversarial`` versions, or both.
        weights: The weight of each term of the loss, by the term's name.
        label_smoothing: Share of the label's probability that is spread over all classes.
    """

    views: tuple[str, ...] = ("clean", "adversarial")

    def __init__(self, weights: Mapping[str, float], label_smoothing: float) -> None:
        if min(weights.values()) < 0 or not 0 <= label_smoothing < 1:
            raise ValueError(
                f"{type(self).__name__} has a term of negative weight, or label_smoothing is not in [0, 1): "
                f"{dict(weights)}, label_smoothing {label_smoothing}"
            )
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.label_smoothing = label_smoothing

    @abstractmethod
    def attack(self, model: nn.Module, images: Tensor, labels: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Make adversarial images against the model being trained; see :class:`lit_adv.attacks.LiveAttack`."""

    @abstractmethod
    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the terms of the loss.

        Args:
            logits: For each of :attr:`views`, the model's logits [B, classes].
            labels: int64 [B], the true classes.

        Returns:
            For each name in :attr:`weights` one loss an image, [B], not yet weighted.
        """

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return each image's cross-entropy with the smoothed labels, [B]."""
        return F.cross_entropy(full_precision(logits), labels, reduction="none", label_smoothing=self.label_smoothing)


class Standard(Recipe):
    """Training on clean images alone: the baseline.

    Args:
        label_smoothing: Share of the label's probability that is spread over all classes.
    """

    views = ("clean",)

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__({"clean": 1.0}, label_smoothing)

    def attack(self, model: nn.Module, images: Tensor, labels: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Refuse: this recipe trains on clean images, and on the data's adversarial ones where it distills.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "the standard recipe makes no adversarial images: to distill into such, name sets as data.adversarial, no "
            "share for 'self', and no shards as data.clean"
        )

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of the clean images as ``clean``."""
        return {"clean": self.cross_entropy(logits["clean"], labels)}


class AdversarialTraining(Recipe):
    """Cross-entropy on clean and on adversarial images.

    With FGSM that is Kurakin et al. (ICLR 2017), with FGSM from a random start Wong et al. (*fast*, ICLR 2020), with
    PGD and ``clean_weight`` 0 Madry et al. (ICLR 2018). It is ensemble adversarial training (Tramèr et al., ICLR
    2018) where the data brings other models' adversarial images for some batches: the recipe's own attack then serves
    the other batches alone.

    Args:
        attack: The attack on the model being trained, one of :func:`lit_adv.attacks.list_attacks`.
        attack_options: Settings that differ from the named attack's, such as ``eps: 4/255``.
        clean_weight: Weight of the clean images' term, in [0, 1]; the adversarial images' term has the rest.
        label_smoothing: Share of the label's probability that is spread over all classes.

    Raises:
        ValueError: If an argument is out of range, or the attack is unknown.
    """

    def __init__(
        self,
        attack: str = "fgsm",
        attack_options: dict[str, Any] | None = None,
        clean_weight: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({"clean": clean_weight, "adversarial": 1 - clean_weight}, label_smoothing)
        self.views = tuple(self.weights)
        self._attack = LiveAttack(attack, attack_options)

    def attack(self, model: nn.Module, images: Tensor, labels: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Attack the model; see :meth:`Recipe.attack`."""
        return self._attack(model, images, labels, keys, seed)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropies as ``clean`` and ``adversarial``, but those of weight 0."""
        return {view: self.cross_entropy(logits[view], labels) for view in self.views}


class Trades(Recipe):
    """TRADES (Zhang et al., ICML 2019): be right about the clean image, and say the same about its neighbors.

    The loss is the clean image's cross-entropy plus ``beta`` times the divergence KL(clean || adversarial) of the
    predictions. The attack maximizes the same divergence, from a random start: it has no gradient at the clean image.

    Args:
        attack: The attack on the model being trained, one with a random start.
        attack_options: Settings that differ from the named attack's, such as ``eps: 4/255``.
        beta: Weight of the divergence; 1/lambda in the paper, which uses 1 and 6.
        label_smoothing: Share of the label's probability that is spread over all classes.

    Raises:
        ValueError: If an argument is out of range, or the attack is unknown, aims at a class or has no random start.
    """

    def __init__(
        self,
        attack: str = "pgd",
        attack_options: dict[str, Any] | None = None,
        beta: float = 6.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({"clean": 1.0, "divergence": beta}, label_smoothing)
        self._attack = LiveAttack(attack, attack_options)
        settings = self._attack.settings
        if not settings.get("random_start") or settings["target"] is not None:
            raise ValueError(f"TRADES needs an attack with a random start and without a target: pgd, not {attack!r}")

    def attack(self, model: nn.Module, images: Tensor, labels: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Maximize the divergence from the clean images' predictions; see :meth:`Recipe.attack`."""
        with eval_mode(model), torch.no_grad():
            clean = model(images)
        return self._attack(_Divergence(model, clean), images, labels, keys, seed)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy as ``clean`` and KL(clean || adversarial) as ``divergence``."""
        return {
            "clean": self.cross_entropy(logits["clean"], labels),
            "divergence": kl_divergence(logits["clean"], logits["adversarial"]),
        }


class _Divergence(nn.Module):
    """A model as TRADES attacks it: its loss is how far its predictions are from those for the clean images."""

    def __init__(self, model: nn.Module, clean: Tensor) -> None:
        super().__init__()
        self.model = model
        self._clean = clean

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def attack_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return kl_divergence(self._clean, self(images))


def kl_divergence(reference: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p || q), where p and q are the predictions of ``reference`` and ``logits``.

    Args:
        reference: Logits [B, classes].
        logits: Logits [B, classes].
        temperature: Divides both logits.

    Returns:
        One divergence an image, [B], in nats.
    """
    log_p = (full_precision(reference) / temperature).log_softmax(1)
    log_q = (full_precision(logits) / temperature).log_softmax(1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def distillation(teacher: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return each image's distillation loss (Hinton et al., 2015): KL(teacher || model) times temperature squared.

    Args:
        teacher: The teacher's logits [B, classes].
        logits: The model's logits [B, classes].
        temperature: Divides both logits; the square keeps the gradient's size.

    Returns:
        Float [B].
    """
    return kl_divergence(teacher, logits, temperature) * temperature**2


def full_precision(logits: Tensor) -> Tensor:
    """Return logits in float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
