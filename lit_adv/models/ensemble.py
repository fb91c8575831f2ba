"""Several surrogates attacked as one (sections 3.3 and 4.4 of the paper; Liu et al., 2016; Dong et al., 2018)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        logits = self._logits(images)
        weights = self.weights.view(-1, 1, 1)
        if self.fusion == "logits":
            return (weights * logits).sum(0)
        log_probabilities = logits.log_softmax(-1)
        if self.fusion == "probabilities":
            return (log_probabilities + weights.log()).logsumexp(0)
        return (weights * log_probabilities).sum(0)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the ensemble's cross-entropy.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].

        Returns:
            One loss for each image, [B].
        """
        if self.fusion != "loss":
            return F.cross_entropy(self(images), labels, reduction="none")
        losses = [F.cross_entropy(logits, labels, reduction="none") for logits in self._logits(images)]
        return (self.weights.view(-1, 1) * torch.stack(losses)).sum(0)

    def _logits(self, images: Tensor) -> Tensor:
        """Return the members' logits, [members, B, classes], in float32 at least."""
        members = [member(images) for member in self.members]
        counts = [scores.shape[1] for scores in members]
        if len(set(counts)) > 1:
            raise ValueError(
                f"the members of an ensemble must have the same classes, but these tell {counts} classes apart; one "
                "with a background class needs class_offset=1, see lit_adv.models.Classifier"
            )
        logits = torch.stack(members)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
