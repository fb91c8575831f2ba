"""A training run's history in its own folder, so that the folder alone shows how the run goes."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.data.training_batches import TrainBatch
from lit_adv.pages.training import HISTORY_FILE, History, read_history, training_page
from lit_adv.shards import publish, storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.job import canonical_json
from lit_adv.shards.remote import redact

logger = logging.getLogger(__name__)

PAGE_FILE = "training.html"
_LEAST_SECONDS = 30.0  # between two times that it is written within an epoch


class RunHistory(Callback):
    """Keeps what was logged as ``history.json`` in the run's folder, and at each epoch's end a page of it.

    A row for each logged step has the loss, the learning rate and the speed; one for each epoch has all that was logged
    up to its end, the accuracies among them. A resumed run goes on with the history as it was when its checkpoint was
    made.

    The data module offers the folders of shards as ``sets`` and, for validation, ``attacks``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._history = History([], [], {}, 0)
        self._written = 0.0

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

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Take down a logged step."""
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        # The accuracies that are known by now are those of the epoch before.
        self._history.steps.append({k: v for k, v in _row(trainer).items() if not k.startswith("val/")})
        if trainer.is_global_zero and time.monotonic() - self._written >= _LEAST_SECONDS:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take down an epoch, which has been validated by now."""
        self._history.epochs.append(_row(trainer))
        if trainer.is_global_zero:
            self._write(trainer)
            page = training_page(find_callback(trainer, RunFolder).path, self._history)
            publish.replace(storage.join(find_callback(trainer, RunFolder).path, PAGE_FILE), page)

    def _former(self, trainer: Trainer) -> History:
        path = find_callback(trainer, RunFolder).path
        if trainer.global_step and HISTORY_FILE in storage.list_names(path):
            try:
                return read_history(path)
            except ValueError as error:  # no reason to keep a run from going on
                logger.warning("%s; it begins here", error)
        return History([], [], {}, 0)

    def _write(self, trainer: Trainer) -> None:
        self._written = time.monotonic()
        url = storage.join(find_callback(trainer, RunFolder).path, HISTORY_FILE)
        publish.replace(url, canonical_json(self._history._asdict()))


def _row(trainer: Trainer) -> dict[str, float]:
    """Return what is known by now; what is no finite number is left out.

    Every process must ask for it, since some of these numbers are reduced over all of them when they are asked for.
    """
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    known = {name: value for name, value in values.items() if abs(value) < float("inf")}
    return {**known, "epoch": trainer.current_epoch, "step": trainer.global_step}


def _describe(folders: dict[str, AttackedFolder]) -> dict[str, dict[str, Any]]:
    return {
        name: {"path": redact(folder.path), "images": sum(shard.samples for shard in folder.shards.values())}
        for name, folder in folders.items()
    }
