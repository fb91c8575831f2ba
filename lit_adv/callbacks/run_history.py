"""A training run's history in its own folder, so that the folder alone shows how the run goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import isfinite
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.data.training_batches import TrainBatch
from lit_adv.pages.training import HISTORY_FILE, TERMS, VALIDATION, History, Row, read_history, training_page
from lit_adv.shards import publish, storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.job import canonical_json
from lit_adv.shards.remote import redact

logger = logging.getLogger(__name__)

PAGE_FILE = "training.html"
_LEAST_SECONDS = 30.0  # between two times that it is written within an epoch


class RunHistory(Callback):
    """Keeps what was logged as ``history.json`` in the run's folder, and at each epoch's end a page of it.

    A row for each logged step has the loss, the learning rate and the speed; one for each epoch has what is known
    at its end alone: the accuracies, if it was validated, and the means of the terms of the loss. A resumed run goes on
    with the history as it was when its checkpoint was made.

    The data module offers the folders of shards as ``sets`` and, for validation, ``attacks``; the LightningModule the
    terms as ``mean_terms()``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._history = History([], [], {}, 0)
        self._written = 0.0
        self._step = 0  # the latest that was looked at
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the history that is there, up to the step that the run goes on from."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # the Trainer sets it without declaring it
        former = self._former(trainer) if trainer.is_global_zero else History([], [], {}, 0)
        self._history = History(
            steps=[row for row in former.steps if row["step"] <= trainer.global_step],
            epochs=[row for row in former.epochs if row["step"] <= trainer.global_step],
            sets={"training": _describe(data.sets), "validation": _describe(data.attacks)},
            planned_epochs=trainer.max_epochs or 0,
        )
        self._step, self._validated = trainer.global_step, False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Take down a logged step; gradients of several batches may go into one."""
        former, self._step = self._step, trainer.global_step
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0 for never
        if self._step == former or not every or self._step % every:
            return
        # What else is known by now is from the epoch before.
        self._history.steps.append(_row(trainer, lambda name: not name.startswith((VALIDATION, TERMS))))
        if time.monotonic() - self._written >= _LEAST_SECONDS:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that there are accuracies of this epoch."""
        self._validated = not trainer.sanity_checking

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write what the run that goes on from the checkpoint is to find."""
        self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take down an epoch, which has been validated by now if it is at all."""
        row = _row(trainer, lambda name: self._validated and name.startswith(VALIDATION))
        terms: dict[str, float] = pl_module.mean_terms()  # type: ignore[operator]
        self._history.epochs.append(row | _finite({TERMS + name: value for name, value in terms.items()}))
        self._validated = False
        self._write(trainer, page=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take down that the run has come to its end, which may be before the last of the planned epochs."""
        self._history = self._history._replace(ended=True)
        self._write(trainer, page=True)

    def _former(self, trainer: Trainer) -> History:
        path = find_callback(trainer, RunFolder).path
        if trainer.global_step and HISTORY_FILE in storage.list_names(path):
            try:
                return read_history(path)
            except ValueError as error:  # no reason to keep a run from going on
                logger.warning("%s; it begins here", error)
        return History([], [], {}, 0)

    def _write(self, trainer: Trainer, page: bool = False) -> None:
        if not trainer.is_global_zero:
            return
        self._written = time.monotonic()
        path = find_callback(trainer, RunFolder).path
        publish.replace(storage.join(path, HISTORY_FILE), canonical_json(self._history._asdict()))
        if page:
            publish.replace(storage.join(path, PAGE_FILE), training_page(path, self._history))


def _row(trainer: Trainer, wanted: Callable[[str], bool]) -> Row:
    """Return those of the known numbers that are wanted, by their names; what is no finite number is left out.

    Every process must ask for it, since some of these numbers are reduced over all of them when they are asked for.
    """
    known = {name: float(value) for name, value in trainer.callback_metrics.items()}
    row = _finite({name: value for name, value in known.items() if wanted(name)})
    return {**row, "epoch": trainer.current_epoch, "step": trainer.global_step}


def _finite(values: Row) -> Row:
    return {name: value for name, value in values.items() if isfinite(value)}


def _describe(folders: dict[str, AttackedFolder]) -> dict[str, dict[str, Any]]:
    return {
        name: {"path": redact(folder.path), "images": sum(shard.samples for shard in folder.shards.values())}
        for name, folder in folders.items()
    }
