"""Keeping what a training run has come to within an epoch: now and then, and when it is asked to stop."""

import signal
import time
from math import inf
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.preemption import StopOnSignal
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.errors import PreemptedError
from lit_adv.shards.remote import redact


class StopTraining(StopOnSignal):
    """Stops a training run behind a step, once the :class:`RunFolder` has kept what it has come to.

    It has the folder keep that every :attr:`RunFolder.midway_minutes`, too. When to, all processes decide together,
    since each waits for the others in every step. A validation is dropped at once.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over, start the clock, and say what a run that is killed loses."""
        super().on_predict_start(trainer, pl_module)
        folder = find_callback(trainer, RunFolder)
        self._kept = time.monotonic()
        rank_zero_info(
            f"kept in {redact(folder.path)}: the run at the end of each epoch, and every {folder.midway_minutes:g} "
            "minutes within it; if it is killed, that much is lost at most, and a validation"
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep what the run has come to if that is due, and stop if any process was asked to."""
        folder = find_callback(trainer, RunFolder)
        due = time.monotonic() - self._kept >= 60 * folder.midway_minutes
        if not trainer.strategy.reduce_boolean_decision(due or self.ending is not None, all=False):
            return
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return  # gradients are not kept
        # Lightning would go on behind the validation that is to come.
        if not trainer.is_last_batch and (batch_idx + 1) % (trainer.val_check_batch or inf):
            folder.keep_midway(trainer)
            self._kept = time.monotonic()
        if trainer.strategy.reduce_boolean_decision(self.ending is not None, all=False):
            self._stop(signal.SIGTERM, None)  # as if this process had been asked, too
            super()._interrupt()

    def _interrupt(self) -> None:
        in_step = self._trainer is not None and self._trainer.training
        if not in_step or not isinstance(self.ending, PreemptedError):
            super()._interrupt()
