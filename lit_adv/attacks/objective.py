"""What an attack pushes: a loss, and the class it is measured against."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.randomness import keyed_uniform

LabelSource = Literal["true", "predicted"]
Target = Literal["given", "least_likely", "random"]


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy J, summed over the batch so that an image's gradient ignores its neighbors.

    A model that defines its own ``attack_loss(images, labels)`` (an ensemble fused by loss) is asked for it.

    Args:
        model: Maps [B, 3, H, W] to logits [B, classes].
        images: Float [B, 3, H, W].
        labels: int64 [B].

    Returns:
        A scalar, in float32 at least.
    """
    if callable(loss := getattr(model, "attack_loss", None)):  # many a model has a loss that it is trained with
        per_image: Tensor = loss(images, labels)
        return per_image.sum()
    logits = model(images)
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="sum")


def select_labels(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    keys: Sequence[str],
    *,
    source: LabelSource,
    target: Target | None,
    seed: int,
) -> Tensor:
    """Return the class that the loss of each image is measured against.

    Args:
        model: The surrogate.
        images: Clean images, float [B, 3, H, W] in [0, 1].
        labels: int64 [B], the true classes, or the wanted ones if ``target`` is ``given``.
        keys: The samples' keys.
        source: Untargeted only: the true label (paper) or the surrogate's own prediction (the authors' code).
        target: None for an untargeted attack; ``given``: ``labels`` are the targets; ``least_likely``: the class
            of the smallest logit; ``random``: uniform over the other classes.
        seed: Seed of the random targets.

    Returns:
        int64 [B].
    """
    if target == "given" or (target is None and source == "true"):
        return labels
    with torch.no_grad():
        logits: Tensor = model(images)
    if target is None:
        return logits.argmax(1)
    if target == "least_likely":
        return logits.scatter(1, labels[:, None], float("inf")).argmin(1)
    others = logits.shape[1] - 1
    draws = keyed_uniform(seed, "random target", keys).mul(others).long().to(labels.device)
    return draws + (draws >= labels)
