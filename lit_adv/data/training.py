"""Clean images and their adversarial versions, shuffled and mixed for training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrainBatch:
    """Images of one training step, with one adversarial version of each where the shards have any.

    Attributes:
        clean: uint8 [B, 3, H, W], in channels_last layout.
        adversarial: uint8 [B, 3, H, W], cropped and flipped as ``clean`` is; None if the adversarial images of this
            batch are to be made against the model being trained, or if there are none.
        source: Name of the adversarial set that ``adversarial`` is from; ``self`` if it is None.
        labels: int64 [B], true classes.
        keys: The B samples' keys.
        weights: float32 [B]; 1, or 0 for an image that is only there to keep this process in step with the others.
    """

    clean: Tensor
    adversarial: Tensor | None
    source: str
    labels: Tensor
    keys: list[str]
    weights: Tensor

    def __len__(self) -> int:
        return len(self.keys)
