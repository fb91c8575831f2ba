"""What a defense is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: The class that a defense answers when it declines to decide.
ABSTAIN = -1


class Defense(nn.Module, ABC):
    """A defended classifier.

    Whatever a defense draws at random it draws from the sample's key, so that its answer for an image depends
    neither on the batch the image sits in nor on the process that evaluates it.
    """

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
        # Purification quantizes and thresholds; bfloat16 would move values across the thresholds.
        with torch.autocast(images.device.type, enabled=False):
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
