"""Training of the denoiser that the defense ``hgd`` puts before a classifier, as a LightningModule's training step."""

from typing import Any

import torch
from torch import Tensor, nn

from lit_adv.checkpoints import to_safetensors
from lit_adv.data.training_batches import TrainBatch
from lit_adv.defenses import Denoiser
from lit_adv.models import load_model, optimize, to_float
from lit_adv.tasks.fitting import FittingTask


class DenoisingTask(FittingTask):
    """Trains a denoiser to keep a classifier's last feature maps as they are on clean images (Liao et al., CVPR 2018).

    The loss is the mean absolute difference between the feature maps of clean images and of denoised adversarial ones.
    The classifier is frozen, and needs a network with ``forward_features``, as those of timm have.

    Args:
        model: The classifier to defend; see :func:`lit_adv.models.load_model`.
        optimizer: See :class:`FittingTask`.
        scheduler: See :class:`FittingTask`.
        validation_attack: See :class:`FittingTask`; it attacks classifier and denoiser together.
        validation_options: See :class:`FittingTask`.
        compile: See :class:`FittingTask`.
        seed: See :class:`FittingTask`.

    Raises:
        ValueError: If the model or an attack is unknown.
    """

    def __init__(
        self,
        model: str,
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        validation_attack: str = "pgd",
        validation_options: dict[str, Any] | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, scheduler, validation_attack, validation_options, compile, seed)
        self.classifier = load_model(model)
        optimize(self.classifier)
        self.denoiser = Denoiser().to(memory_format=torch.channels_last)
        nn.init.zeros_(self.denoiser.final.weight)  # no noise is found at first, and the image stays as it is

    @property
    def trained(self) -> nn.Module:
        """The denoiser."""
        return self.denoiser

    def losses(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Compute each pair's difference of features; see :meth:`FittingTask.losses`.

        Raises:
            ValueError: If the batch has no adversarial images.
        """
        if batch.adversarial is None:
            raise ValueError(
                "a denoiser is trained on pairs, but there are clean images alone: name adversarial sets as "
                "data.adversarial, no share for 'self', and no shards as data.clean"
            )
        adversarial = to_float(batch.adversarial)
        with torch.no_grad():
            clean = self.classifier.features(to_float(batch.clean))
        denoised = self.classifier.features(self.denoiser(adversarial))
        difference = (denoised.float() - clean.float()).abs().flatten(1).mean(1)
        return difference, {f"{batch.source}/features": difference.detach()}, adversarial

    def deploy(self) -> nn.Module:
        """Return the classifier behind the denoiser."""
        return nn.Sequential(self.denoiser, self.classifier).eval()

    def saved_weights(self) -> bytes:
        """Return a file that the defense ``hgd(<model>, weights=FILE)`` takes."""
        return to_safetensors(self.denoiser, {})
