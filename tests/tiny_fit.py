"""A tiny classifier fitted to training batches, which notes what it saw. Also run as a script, in two processes."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit_adv.data.evaluation import PairBatch
from lit_adv.data.training import TrainingDataModule
from lit_adv.data.training_batches import TrainBatch

Seen = tuple[int, str, list[str], list[float], int]


def describe(batch: TrainBatch, epoch: int) -> Seen:
    """Return what tells a batch from others: epoch, source, keys, weights, and a number that pixels go into."""
    images = [batch.clean] if batch.adversarial is None else [batch.clean, batch.adversarial]
    places = torch.arange(1, batch.clean.numel() + 1)
    pixels = sum(int((image.flatten().long() * places).sum()) * (1 + i) for i, image in enumerate(images))
    return epoch, batch.source, batch.keys, batch.weights.tolist(), pixels


class Recorder(LightningModule):
    """Learns a little, and notes each batch. Its batch norm has buffers, which DDP keeps equal."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(10))
        self.network(torch.zeros(2, 3, 32, 32))
        self.seen: list[Seen] = []
        self.validated: list[str] = []

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Note the batch; its weighted loss."""
        self.seen.append(describe(batch, self.current_epoch))
        losses = cross_entropy(self.network(batch.clean / 255), batch.labels, reduction="none")
        return (losses * batch.weights).mean()

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Note the keys."""
        if not self.trainer.sanity_checking:
            self.validated += [f"{batch.attack} {key}" for key in batch.keys]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(
    data: TrainingDataModule,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    resume: str | None = None,
    **trainer: Any,
) -> Recorder:
    """Fit, and return the module with its notes."""
    torch.manual_seed(0)
    module = Recorder()
    settings: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": bool(callbacks)}
    Trainer(
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings | trainer,
    ).fit(module, datamodule=data, ckpt_path=resume)
    return module


if __name__ == "__main__":
    for folder, options in json.loads(sys.argv[1]).items():
        recorder = fit(TrainingDataModule(**options), epochs=2, devices=2, strategy="ddp")
        notes = {"seen": recorder.seen, "validated": recorder.validated}
        (Path(folder) / f"rank{recorder.global_rank}.json").write_text(json.dumps(notes))
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()
