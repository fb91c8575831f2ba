"""How well adversarial images transfer to a model that never saw them."""

import math
from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor
from torchmetrics import Metric

from lit_adv.defenses import ABSTAIN
from lit_adv.shards.counts import L2_UNIT

#: The name under which training logs how well the model withstands attacks; the best weights are chosen by it.
ROBUST_ACCURACY = "val/robust_accuracy"


class Rate(NamedTuple):
    """A share of images, with its 95 % Wilson interval.

    Attributes:
        hits: Images that have the property.
        total: Images that were looked at.
        value: ``hits / total``; NaN if there were none.
        low: Lower end of the interval; NaN if there were none.
        high: Upper end of the interval; NaN if there were none.
    """

    hits: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, total: int) -> "Rate":
        """Compute the rate of ``hits`` in ``total``.

        Example:
            >>> rate = Rate.of(hits=9, total=10)
            >>> f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"
            '0.90 [0.60, 0.98]'
        """
        if total == 0:
            return cls(0, 0, math.nan, math.nan, math.nan)
        low, high = binomtest(hits, total).proportion_ci(0.95, method="wilson")
        return cls(hits, total, hits / total, float(low), float(high))


class TransferResult(NamedTuple):
    """What an attack achieves against a target.

    An abstention is no correct answer, so it counts as a success of the attack, as in the reference evaluations of
    randomized smoothing; ``abstention`` says how many of the successes are of that kind.

    Attributes:
        success: Adversarial images that are not given their label, of all images (the papers' number).
        success_on_correct: The same, of the images whose clean version the target classifies correctly.
        targeted_success: Adversarial images that are given the class the attack aimed at, of the images with such
            a class.
        abstention: Adversarial images on which the target abstains, of all images.
        clean_accuracy: Clean images that are given their label, of the clean images that were shown.
        breaches: Images that differ from the clean one by more than the budget in some pixel.
        mean_linf: Mean L-infinity distance from the clean image, in grey levels; NaN if none was measured.
        mean_l2: Mean L2 distance from the clean image, pixels in units of [0, 1]; NaN if none was measured.
    """

    success: Rate
    success_on_correct: Rate
    targeted_success: Rate
    abstention: Rate
    clean_accuracy: Rate
    breaches: int
    mean_linf: float
    mean_l2: float

    def row(self) -> dict[str, int | float]:
        """Return one flat row of a table: ``success``, ``success_hits``, ``success_total``, ``success_low`` ..."""
        row: dict[str, int | float] = {}
        for name, value in self._asdict().items():
            if isinstance(value, Rate):
                row[name] = value.value
                row |= {f"{name}_{part}": v for part, v in value._asdict().items() if part != "value"}
            else:
                row[name] = value
        return row


class TransferMetric(Metric):
    """Counts what one attack achieves against one target.

    Every state is an integer and is summed over processes, so the result is exact and the same for any number of
    them. Every image given to :meth:`update` counts: a sampler must not repeat images to even out processes.

    Args:
        budget: The L-infinity budget, in grey levels, beyond which an image is a breach; None for no budget.

    Example:
        >>> metric = TransferMetric()
        >>> metric.update(predictions=torch.tensor([3, 7, ABSTAIN]), labels=torch.tensor([3, 4, 5]))
        >>> metric.compute().success.hits
        2
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    images: Tensor
    fooled: Tensor
    abstained: Tensor
    clean_images: Tensor
    clean_correct: Tensor
    clean_correct_fooled: Tensor
    targeted: Tensor
    targeted_hits: Tensor
    measured: Tensor
    breaches: Tensor
    linf_sum: Tensor
    l2_sum: Tensor

    def __init__(self, budget: int | None = None) -> None:
        super().__init__()
        self.budget = budget
        for state in (
            *("images", "fooled", "abstained"),
            *("clean_images", "clean_correct", "clean_correct_fooled"),
            *("targeted", "targeted_hits"),
            *("measured", "breaches", "linf_sum", "l2_sum"),
        ):
            self.add_state(state, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        predictions: Tensor,
        labels: Tensor,
        *,
        clean_predictions: Tensor | None = None,
        targets: Tensor | None = None,
        linf: Tensor | None = None,
        l2: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            predictions: int64 [B], the target's classes for the adversarial images; ``ABSTAIN`` (-1) where it
                declines to decide.
            labels: int64 [B], the true classes.
            clean_predictions: int64 [B], the target's classes for the clean images, if they are at hand.
            targets: int64 [B], the classes that a targeted attack aimed at.
            linf: int [B], L-infinity distances from the clean images, in grey levels; with ``l2``.
            l2: Float [B], L2 distances from the clean images, pixels in units of [0, 1]; with ``linf``.

        Raises:
            ValueError: If the tensors are not all [B], or only one of the distances is given.
        """
        given = [predictions, labels, clean_predictions, targets, linf, l2]
        shapes = {tuple(tensor.shape) for tensor in given if tensor is not None}
        if len(shapes) != 1 or predictions.ndim != 1:
            raise ValueError(f"all tensors must have the same shape [B], not {sorted(shapes)}")

        fooled = predictions != labels
        self.images += len(labels)
        self.fooled += fooled.sum()
        self.abstained += (predictions == ABSTAIN).sum()
        if clean_predictions is not None:
            correct = clean_predictions == labels
            self.clean_images += len(labels)
            self.clean_correct += correct.sum()
            self.clean_correct_fooled += (correct & fooled).sum()
        if targets is not None:
            self.targeted += len(labels)
            self.targeted_hits += (predictions == targets).sum()
        if linf is not None and l2 is not None:
            self.measured += len(labels)
            self.linf_sum += linf.sum()
            self.l2_sum += (l2.double() / L2_UNIT).round().long().sum()
            if self.budget is not None:
                self.breaches += (linf > self.budget).sum()
        elif linf is not None or l2 is not None:
            raise ValueError("linf and l2 must be given together")

    def compute(self) -> TransferResult:
        """Return the rates over all images of all processes."""
        measured = int(self.measured) or math.nan
        return TransferResult(
            success=Rate.of(int(self.fooled), int(self.images)),
            success_on_correct=Rate.of(int(self.clean_correct_fooled), int(self.clean_correct)),
            targeted_success=Rate.of(int(self.targeted_hits), int(self.targeted)),
            abstention=Rate.of(int(self.abstained), int(self.images)),
            clean_accuracy=Rate.of(int(self.clean_correct), int(self.clean_images)),
            breaches=int(self.breaches),
            mean_linf=int(self.linf_sum) / measured,
            mean_l2=int(self.l2_sum) * L2_UNIT / measured,
        )
