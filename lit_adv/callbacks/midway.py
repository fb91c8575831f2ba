"""Keeping what a training run has come to within an epoch: now and then, and when it is asked to stop."""

import signal
import time
from math import inf
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.preemption import StopOnSignal
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.errors import PreemptedError
from lit_adv.shards.remote import redact


class StopTraining(StopOnSignal):
    """Stops a training run behind a step, once the :class:`RunFolder` has kept what it has come to.

    It has the folder keep that every :attr:`RunFolder.midway_minutes`, too, and before each validation, which is
    dropped at once. When to, all processes decide together, since each waits for the others in every step. Behind the
    last step of an epoch nothing is kept but at the epoch's end, where the folder does so anyway.
    """

    _in_steps = False  # from the start to a validation whose run is kept, and from its end on

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over, start the clock, and say what a run that is killed loses."""
        super().on_predict_start(trainer, pl_module)
        folder = find_callback(trainer, RunFolder)
        self._in_steps = True
        self._kept = time.monotonic()
        rank_zero_info(
            f"kept in {redact(folder.path)}: the run at the end of each epoch, before each validation, and every "
            f"{folder.midway_minutes:g} minutes; a kill loses what came since, a stop no more than a validation"
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if that was asked for in the last step of the epoch before, which the folder has kept."""
        self._stop_if_asked(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep what the run has come to if that is due, and stop if any process was asked to."""
        folder = find_callback(trainer, RunFolder)
        due = time.monotonic() - self._kept >= 60 * folder.midway_minutes
        if not trainer.strategy.reduce_boolean_decision(due or self.ending is not None, all=False):
            return
        # From here Lightning would go on behind what is to come.
        if _ends_epoch(trainer) or _ends_in_validation(trainer):
            return
        if _between_updates(trainer):
            self._keep(trainer)
            self._stop_if_asked(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the run has come to, so that it loses no more than the validation, and stop if that was asked."""
        super().on_validation_start(trainer, pl_module)
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            # A run that has had all its steps would not validate when it goes on.
            if _between_updates(trainer) and trainer.global_step != trainer.max_steps:
                self._keep(trainer, validation_due=True)
            self._stop_if_asked(trainer)
            self._in_steps = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with steps, which are not interrupted."""
        self._in_steps = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop whenever that is asked for."""
        self._in_steps = False

    def _keep(self, trainer: Trainer, validation_due: bool = False) -> None:
        find_callback(trainer, RunFolder).keep_midway(trainer, validation_due)
        self._kept = time.monotonic()

    def _stop_if_asked(self, trainer: Trainer) -> None:
        """Stop if any process was asked to; all must call this at the same point."""
        if trainer.strategy.reduce_boolean_decision(self.ending is not None, all=False):
            self._stop(signal.SIGTERM, None)  # as if this process had been asked, too
            super()._interrupt()

    def _interrupt(self) -> None:
        if not self._in_steps or not isinstance(self.ending, PreemptedError):
            super()._interrupt()

    def _what_is_kept(self, trainer: Trainer) -> str:
        if trainer.state.fn != TrainerFn.FITTING:
            return self.kept
        kept, had = find_callback(trainer, RunFolder).kept_step, trainer.global_step
        if kept is None:
            return "nothing of the run is kept yet; run the same command again"
        return f"what the run has come to is kept, up to step {kept} of the {had} it has had; {self.kept}"


def _ends_epoch(trainer: Trainer) -> bool:
    return trainer.is_last_batch or trainer.global_step == trainer.max_steps


def _ends_in_validation(trainer: Trainer) -> bool:
    """Tell whether a validation follows upon the step that has just ended."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    batches = 1 + (trainer.fit_loop.total_batch_idx if every is None else trainer.fit_loop.batch_idx)
    return not batches % (trainer.val_check_batch or inf)


def _between_updates(trainer: Trainer) -> bool:
    """Tell whether no gradients have been accumulated, which are not kept."""
    return not (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch
