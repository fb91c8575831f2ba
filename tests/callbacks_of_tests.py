"""Callbacks that tests name on the command line as ``tests.callbacks_of_tests.<class>``."""

import os
import signal
import time
from pathlib import Path
from typing import Any

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


class Asks(Callback):
    """Asks its own process to stop.

    Args:
        step: When so many steps have been taken.
        validating: Whether in the validation behind them, or else in the last of them.
    """

    def __init__(self, step: int, validating: bool) -> None:
        super().__init__()
        self.step = step
        self.validating = validating

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """Ask in a step."""
        if not self.validating and trainer.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Ask in a validation."""
        if self.validating and not trainer.sanity_checking and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
