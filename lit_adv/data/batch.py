"""What travels from the reader to the attack and from the attack to the writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import numpy.typing as npt
import torch
from torch import Tensor

from lit_adv.shards.sidecar import Skipped


class _Vector(NamedTuple):
    """A tensor on its way to another process."""

    values: npt.NDArray[Any]


def _is_vector(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 1 and value.device.type == "cpu"


@dataclass(frozen=True)
class TensorBatch:
    """What Lightning and the data loader need to move a batch whole, whatever tensors it holds."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the batch with its tensors on ``device``."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory, from which a GPU copies faster."""
        return self._map(Tensor.pin_memory)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle vectors by value: each tensor that a data loader's worker shares costs a connection of its own."""
        return {name: _Vector(value.numpy()) if _is_vector(value) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo :meth:`__getstate__`."""
        for name, value in state.items():
            vars(self)[name] = torch.from_numpy(value.values) if isinstance(value, _Vector) else value

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed)


@dataclass(frozen=True)
class ImageBatch(TensorBatch):
    """Images of one shard, decoded and cropped. A batch never crosses a shard's border.

    Attributes:
        images: uint8 [B, 3, H, W]; B may be 0 where a shard ends in skipped samples.
        labels: int64 [B], class indices.
        keys: The B samples' keys.
        shard: URL of the input shard.
        shard_samples: How many samples the shard holds, skipped ones included.
        last: Whether the shard ends with this batch.
        skipped: The samples skipped since the shard's previous batch.
        targets: int64 [B], the class each image is to be taken for; None unless the data names targets.
        error: Why the shard cannot be used; such a batch is empty and the shard's last.
        shard_bytes: Size of the shard's file; 0 where the shard cannot be used.
    """

    images: Tensor
    labels: Tensor
    keys: list[str]
    shard: str
    shard_samples: int
    last: bool
    skipped: list[Skipped] = field(default_factory=list)
    targets: Tensor | None = None
    error: str | None = None
    shard_bytes: int = 0

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class AdversarialBatch:
    """What the attack made of an :class:`ImageBatch`; every tensor lies on the CPU.

    Attributes:
        source: The clean batch.
        images: Adversarial images, uint8 [B, 3, H, W].
        predictions_clean: int64 [B], the surrogate's classes for the clean images.
        predictions: int64 [B], the surrogate's classes for the stored (rounded) adversarial images.
        fooled: bool [B]; untargeted: the prediction is not the label; targeted: it is the target.
        targets: int64 [B] in targeted mode, else None.
        seconds: Time the attack took, in seconds.
        not_finite: Keys of the images that the attack returned with pixels that are no finite numbers; the clean
            images stand in for them.
    """

    source: ImageBatch
    images: Tensor
    predictions_clean: Tensor
    predictions: Tensor
    fooled: Tensor
    targets: Tensor | None
    seconds: float
    not_finite: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class CleanAnswers:
    """What models make of an :class:`ImageBatch`; every tensor lies on the CPU.

    Attributes:
        source: The clean batch.
        predictions: int64 [models, B], their classes.
        losses: Float64 [models, scales, B], their cross-entropy for the scaled images.
    """

    source: ImageBatch
    predictions: Tensor
    losses: Tensor
