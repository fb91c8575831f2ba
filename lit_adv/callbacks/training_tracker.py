"""What a training run shows while it works: speed, example images, and which shards made which weights."""

import time
from typing import Any

import torch
import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.data.training_batches import TrainBatch
from lit_adv.loggers import log_inputs
from lit_adv.pictures import draw_examples
from lit_adv.shards.listing import file_name
from lit_adv.shards.remote import redact
from lit_adv.shards.storage import local_path


class TrainingTracker(Callback):
    """Logs what the LightningModule does not know of.

    With every logged step: ``train/images_per_second`` of all processes, since the epoch began. To W&B, once:
    a picture of the first images, the adversarial sets as the run's input artifacts, and at the end the weights as
    its output artifact. An offline run has no input artifacts, so its configuration and the weights' metadata name the
    sets, too.

    The data module offers the folders of shards as ``sets`` and, for validation, ``attacks``.

    Args:
        examples: How many images the picture shows.
    """

    def __init__(self, examples: int = 6) -> None:
        super().__init__()
        self.examples = examples
        self._images = 0
        self._started = 0.0
        self._shown = False
        self._inputs: dict[str, dict[str, dict[str, str]]] = {}

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say which shards the run learns from and is judged by."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for logger in _wandb_loggers(trainer):
            self._inputs = log_inputs(logger, {"adversarial": data.sets, "validation": data.attacks})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, here for an epoch that goes on where the run was stopped in it."""
        self._images, self._started = 0, time.perf_counter()

    on_train_epoch_start = on_train_start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Log the speed, and show the first images."""
        self._images += len(batch) * trainer.world_size
        pl_module.log("train/images_per_second", self._images / (time.perf_counter() - self._started))
        if not self._shown:
            self._shown = True
            self._log_examples(trainer, batch, outputs["adversarial"])

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over the weights."""
        folder = find_callback(trainer, RunFolder)
        for logger in _wandb_loggers(trainer):
            artifact = wandb.Artifact(
                f"weights-{logger.experiment.id}",
                type="model",
                metadata={"path": redact(folder.path), "inputs": self._inputs},
            )
            for url in folder.weights():
                if path := local_path(url):
                    artifact.add_file(str(path))
                else:  # they stay put
                    artifact.add_reference(redact(url), name=file_name(url), checksum=False)
            logger.experiment.log_artifact(artifact)

    @rank_zero_only
    def _log_examples(self, trainer: Trainer, batch: TrainBatch, adversarial: Tensor) -> None:
        shown = slice(self.examples)
        pixels = (adversarial[shown] * 255).round().to(torch.uint8).cpu()
        captions = [str(int(label)) for label in batch.labels[shown]]
        picture = draw_examples(batch.clean[shown].cpu(), pixels, captions)
        for logger in _wandb_loggers(trainer):
            logger.log_image("examples", [picture], caption=[batch.source])


def _wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
