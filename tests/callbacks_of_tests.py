"""Callbacks that tests name on the command line as ``tests.callbacks_of_tests.<class>``."""

import time
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class BufferNotes(Callback):
    """Writes what each process's batch normalizations hold when it validates for the first time after training.

    Args:
        folder: Takes a file ``rank<number>.pt`` from each process.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write this process's file."""
        if not trainer.sanity_checking:
            torch.save(dict(pl_module.named_buffers()), self.folder / f"rank{trainer.global_rank}.pt")


class LongFarewell(Callback):
    """Keeps the first process from ending: for longer than Lightning gives it once another has ended."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Wait."""
        if trainer.is_global_zero:
            time.sleep(8)
