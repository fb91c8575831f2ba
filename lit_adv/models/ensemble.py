"""Several surrogates attacked as one (sections 3.3 and 4.4 of the paper; Liu et al., 2016; Dong et al., 2018)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_adv.models.classifier import Classifier, cross_entropy

Fusion = Literal["logits", "probabilities", "loss"]


class Ensemble(nn.Module):
    """A weighted ensemble. Each member normalizes and resizes for itself.

    Args:
        members: Classifiers of [0, 1] images with the same classes.
        weights: One positive weight for each member, scaled to sum 1; equal by default.
        fusion: What is averaged: ``logits`` (the paper), ``probabilities``, or the members' ``loss``.

    Raises:
        ValueError: If there is no member, or not one positive weight for each; when called, if the members do not tell
            the same number of classes apart.
    """

    weights: Tensor

    def __init__(
        self, members: Sequence[nn.Module], weights: Sequence[float] | None = None, fusion: Fusion = "logits"
    ) -> None:
        super().__init__()
        weights = [1.0] * len(members) if weights is None else weights
        if not members or len(weights) != len(members) or min(weights) <= 0:
            raise ValueError(f"{len(members)} ensemble members need as many positive weights, not {list(weights)}")
        self.members = nn.ModuleList(members)
        self.fusion = fusion
        self.register_buffer("weights", torch.tensor(weights) / sum(weights), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: Float [B, 3, H, W] in [0, 1].

        Returns:
            Scores [B, classes]: mean logits, the logarithm of the mean probabilities, or mean log-probabilities.
        """
        return self._fuse([member(images) for member in self.members], self.weights)

    def attack_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the ensemble's cross-entropy.

        Members with auxiliary heads, see :attr:`Classifier.aux_weight`, add that of these heads, fused as the main ones
        are; their weights are scaled to sum 1 among themselves. In a mean of losses each member brings its own.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].

        Returns:
            One loss for each image, [B].
        """
        if self.fusion == "loss":
            losses = [_loss(member, images, labels) for member in self.members]
            return (self.weights.view(-1, 1) * torch.stack(losses)).sum(0)
        heads = [_loss_logits(member, images) for member in self.members]
        labels = labels + int(_common([getattr(member, "label_offset", 0) for member in self.members], "background"))
        loss = cross_entropy(self._fuse([main for main, *_ in heads], self.weights), labels)
        if with_auxiliary := [index for index, logits in enumerate(heads) if len(logits) > 1]:
            weights = self.weights[with_auxiliary]
            fused = self._fuse([heads[index][1] for index in with_auxiliary], weights / weights.sum())
            factor = _common([self.members[index].aux_weight for index in with_auxiliary], "aux")
            loss = loss + factor * cross_entropy(fused, labels)
        return loss

    def _fuse(self, logits: Sequence[Tensor], weights: Tensor) -> Tensor:
        """Fuse members' logits [B, classes] to scores [B, classes], in float32 at least."""
        counts = [scores.shape[1] for scores in logits]
        if len(set(counts)) > 1:
            raise ValueError(
                f"the members of an ensemble must have the same classes, but these tell {counts} classes apart; one "
                "with a background class needs class_offset=1, see lit_adv.models.Classifier, and the option "
                "background is for all members or for none"
            )
        stacked = torch.stack(list(logits))
        stacked = stacked.to(torch.promote_types(stacked.dtype, torch.float32))
        weights = weights.view(-1, 1, 1)
        if self.fusion == "logits":
            return (weights * stacked).sum(0)
        log_probabilities = stacked.log_softmax(-1)
        if self.fusion == "probabilities":
            return (log_probabilities + weights.log()).logsumexp(0)
        return (weights * log_probabilities).sum(0)


def _loss(member: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return a member's own loss of each image."""
    if isinstance(member, Classifier):
        return member.attack_loss(images, labels)
    return cross_entropy(member(images), labels)


def _loss_logits(member: nn.Module, images: Tensor) -> list[Tensor]:
    """Return what a member's own loss is over, the main head's logits first."""
    return member.loss_logits(images) if isinstance(member, Classifier) else [member(images)]


def _common(values: Sequence[Any], option: str) -> float:
    """Return what all members have in common.

    Raises:
        ValueError: If they differ.
    """
    if len(set(values)) > 1:
        raise ValueError(f"the members of an ensemble must have the same option {option}, not {values}")
    return float(values[0])
