"""What models make of clean images, whole and scaled, as a LightningModule's predict step."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_adv.attacks.views.base import ZERO
from lit_adv.data.batch import CleanAnswers, ImageBatch
from lit_adv.defenses import Defense
from lit_adv.models import keep_freed_memory, optimize, to_float
from lit_adv.models.classifier import cross_entropy
from lit_adv.shards.tar import ShardError
from lit_adv.tasks.targets import TargetSpec, check_target, load_targets


class CleanTask(LightningModule):
    """Shows clean images to models: which of them each classifies correctly, and its loss when they are scaled.

    Args:
        models: The models, as the targets of an evaluation.
        scales: Factors ``s`` of scaled images ``s * x`` with ``x`` in [-1, 1], as in the paper's Figure 1; for models
            without a defense.

    Raises:
        ValueError: If a model is malformed, or a defended one is to be shown scaled images.
    """

    def __init__(self, models: list[TargetSpec], scales: list[float] | None = None) -> None:
        super().__init__()
        keep_freed_memory()
        self.targets = load_targets(models)
        defended = [target.name for target in self.targets if isinstance(target.module, Defense)]
        if scales and defended:
            raise ValueError(
                f"model.scales is for models without a defense, but model.models has {defended[0]!r}: leave the scales "
                "out, or that model"
            )
        self.networks = nn.ModuleList(optimize(target.module) for target in self.targets)  # they move to the device
        self.scales = scales or []

    def setup(self, stage: str) -> None:
        """Make sure that the models can be shown the images.

        Raises:
            ValueError: If one cannot.
        """
        decoder = self.trainer.datamodule.decoder  # type: ignore[attr-defined]
        for target in self.targets:
            check_target(target, decoder.image_size, decoder.num_classes)

    def predict_step(self, batch: ImageBatch, batch_idx: int = 0) -> CleanAnswers:
        """Show a batch to every model.

        Args:
            batch: Clean images of one shard.
            batch_idx: Not used.

        Returns:
            The answers, on the CPU.

        Raises:
            ShardError: If the shard cannot be used.
        """
        if batch.error is not None:
            raise ShardError(batch.shard, batch.error)
        images = to_float(batch.images)
        answers = [target.predict(images, batch.keys) if len(batch) else batch.labels for target in self.targets]
        losses = [[self._loss(network, images, s, batch.labels) for s in self.scales] for network in self.networks]
        shape = (len(self.targets), len(self.scales), len(batch))
        return CleanAnswers(
            source=batch.to("cpu"),
            predictions=torch.stack(answers).cpu(),
            losses=torch.tensor(losses, dtype=torch.float64).reshape(shape),
        )

    def _loss(self, network: nn.Module, images: Tensor, scale: float, labels: Tensor) -> list[float]:
        """Return the cross-entropy of each image at a scale."""
        if not len(labels):
            return []
        zero = ZERO["inception"]
        losses: list[float] = cross_entropy(network(zero + scale * (images - zero)), labels).tolist()
        return losses
