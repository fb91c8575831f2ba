"""What a defense is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

#: The class that a defense answers when it declines to decide.
ABSTAIN = -1


class Defense(nn.Module, ABC):
    """A defended classifier.

    Whatever a defense draws at random it draws from the sample's key, so that its answer for an image depends
    neither on the batch the image sits in nor on the process that evaluates it.

    Attributes:
        scores_auxiliary_heads: Whether a classifier's auxiliary head has a part in its answers, see
            :func:`head_logits`.
    """

    scores_auxiliary_heads: ClassVar[bool] = False

    def forward(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Score every class.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.

        Returns:
            Float32 [B, classes]; the class with the largest score is the decision.

        Raises:
            ValueError: If there is not one key for each image.
        """
        if len(keys) != len(images):
            raise ValueError(f"{len(images)} images but {len(keys)} keys: give one key for each image")
        return self.scores(images, keys)

    @abstractmethod
    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Compute the scores of :meth:`forward`, whose arguments are already checked."""

    def predict(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Decide.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.

        Returns:
            Classes, int64 [B]; :data:`ABSTAIN` where the defense declines to decide.
        """
        scores: Tensor = self(images, keys)
        return scores.argmax(1)

    def libraries(self) -> dict[str, str]:
        """Return the versions, by name, of libraries other than torch that decide its answers."""
        return {}


class Purifier(Defense):
    """A defense that cleans the image and leaves the classifier as it is.

    Args:
        model: The classifier to defend; maps float images [B, 3, H, W] in [0, 1] to logits [B, classes].
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Return the classifier's logits for the purified images."""
        with _full_precision(images.device):
            purified = self.purify(images.float(), keys)
        logits: Tensor = self.model(purified)
        return logits.float()

    @abstractmethod
    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Clean images.

        Args:
            images: Float32 [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.

        Returns:
            Images like ``images``.
        """


def head_logits(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return a classifier's logits [B, classes], and those of its auxiliary head if it has one.

    Args:
        model: A classifier; one that has auxiliary heads has a method of this name.
        images: Float [B, 3, H, W] in [0, 1].

    Returns:
        One or two tensors, the main head's first.
    """
    if callable(heads := getattr(model, "head_logits", None)):
        logits: list[Tensor] = heads(images)
        return logits
    return [model(images)]


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32: purification quantizes and thresholds, and less precision moves values across the thresholds.

    On a GPU, torch's convolutions of float32 numbers round them to 10 bits (TF32) unless told otherwise.
    """
    cudnn = torch.backends.cudnn
    settings = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with torch.autocast(device.type, enabled=False), cudnn.flags(**settings, allow_tf32=False):
        yield
