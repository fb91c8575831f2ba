"""A whole generation run on tiny images, with noise in place of an attack. Also run as a script, to be killed."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from lit_adv.callbacks.writer import RunObserver, ShardWriter
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.data.generation import GenerationDataModule
from lit_adv.randomness import keyed_uniform

SIZE = 16


class NoiseModule(LightningModule):
    """Adds noise that belongs to each image's key; kills its own process before batch ``kill_at``."""

    def __init__(self, noise: int = 4, budget: int | None = 4, kill_at: int | None = None) -> None:
        super().__init__()
        self.noise = noise
        self.budget = budget
        self.kill_at = kill_at

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The settings."""
        return {"attack": {"name": "noise", "size": self.noise}}

    def check_data(self, image_size: int, num_classes: int) -> None:
        """Noise suits any data."""

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> AdversarialBatch:
        """Add the noise."""
        if batch_idx == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        noise = (keyed_uniform(0, "noise", batch.keys, 3, SIZE, SIZE) * 2 - 1) * self.noise
        images = (batch.images + noise.reshape(batch.images.shape).round()).clamp(0, 255).to(torch.uint8)
        predictions = (images.sum((1, 2, 3), dtype=torch.int64)) % 10
        return AdversarialBatch(
            source=batch,
            images=images,
            predictions_clean=batch.labels,
            predictions=predictions,
            fooled=predictions != batch.labels,
            targets=batch.targets,
            seconds=0.25,
        )


def generate(
    shards: str | list[str],
    path: str,
    *,
    module: NoiseModule | None = None,
    output: Any = None,
    observers: Sequence[RunObserver] = (),
    **data: Any,
) -> ShardWriter:
    """Run a generation job and return its writer."""
    writer = ShardWriter(path, **(output or {}))
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[writer, *observers],
        inference_mode=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    settings = {"batch_size": 3, "image_size": SIZE, "num_classes": 10, **data}
    trainer.predict(
        module or NoiseModule(),
        datamodule=GenerationDataModule(shards, output=path, **settings),
        return_predictions=False,
    )
    return writer


if __name__ == "__main__":
    generate(sys.argv[1], sys.argv[2], module=NoiseModule(kill_at=int(sys.argv[3])))
