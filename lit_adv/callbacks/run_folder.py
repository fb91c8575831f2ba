"""What a training run leaves behind: weights for others to load, and checkpoints to go on from."""

import io
from math import inf
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loops.evaluation_loop import RestartStage
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.callbacks.lookup import find_callback
from lit_adv.metrics import ROBUST_ACCURACY
from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.remote import redact

BEST, LAST = "best", "last"
_WEIGHTS, _CHECKPOINT = "{}.safetensors", "{}.ckpt"
_MIDWAY = "midway.ckpt"


class RunFolder(Callback):
    """Keeps what each epoch comes to: ``last``, and ``best`` by robust accuracy.

    Both are kept as weights for others to load, ``last.safetensors``, and as a checkpoint of the Trainer to go on from,
    ``last.ckpt``. They are written at an epoch's very end, after its validation, where a run can be resumed exactly.
    So it can within an epoch, from ``midway.ckpt``, which is there until the epoch ends. That is written between two
    steps, and before each validation, with which the run then goes on.

    The LightningModule offers the weights, a file's content, as ``saved_weights()``, and logs the robust accuracy.

    Args:
        path: The folder, local or remote.
        midway_minutes: How often to keep what the run has come to within an epoch. A run that is killed in a step loses
            at most that much; one that is asked to stop there, nothing; and both no more than the validation if it was
            in one.

    Attributes:
        kept_step: The step, counted from the run's first, from which the run can go on; None while there is none.
    """

    def __init__(self, path: str, midway_minutes: float = 15.0) -> None:
        super().__init__()
        self.path = path
        self.midway_minutes = midway_minutes
        self.kept_step: int | None = None
        self._best = -inf
        self._validation_due = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the run can be kept, and replaces no other run.

        Raises:
            FileExistsError: If the folder holds another run.
        """
        kept = [*map(_CHECKPOINT.format, (BEST, LAST)), _MIDWAY]
        own = {storage.join(self.path, name) for name in kept}
        if str(trainer.ckpt_path) not in own and storage.list_names(self.path).intersection(kept):
            raise FileExistsError(
                f"{redact(self.path)} holds a run already; go on with it by --ckpt_path last, or choose another folder "
                "by --output.path"
            )
        if trainer.is_global_zero:
            publish.prepare_folder(self.path)
            scratch.remove_stale_scratch(self.path)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the validation that the checkpoint was written before; Lightning would take it for done.

        What another attempt came to within an epoch is removed: a run from elsewhere has given that up.
        """
        midway = storage.join(self.path, _MIDWAY)
        if trainer.is_global_zero and str(trainer.ckpt_path) != midway:
            publish.remove(midway)
        self.kept_step = trainer.global_step or None
        if self._validation_due:
            trainer.fit_loop.epoch_loop.val_loop._restart_stage = RestartStage.RESTARTED_MID_EVALUATION

    def keep_midway(self, trainer: Trainer, validation_due: bool = False) -> None:
        """Write a checkpoint between two steps; all processes must.

        Args:
            trainer: The run's.
            validation_due: Whether a validation comes before the next step.
        """
        self._validation_due = validation_due
        trainer.save_checkpoint(storage.join(self.path, _MIDWAY), weights_only=False)
        self.kept_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write weights and checkpoints."""
        score = float(trainer.callback_metrics.get(ROBUST_ACCURACY, -inf))  # there may not be one after every epoch
        names = [LAST]
        self._validation_due = False
        if score > self._best:
            self._best = score
            names = [BEST, LAST]
        weights: bytes = pl_module.saved_weights()  # type: ignore[operator]
        for name in names:
            if trainer.is_global_zero:
                publish.replace(storage.join(self.path, _WEIGHTS.format(name)), weights)
            trainer.save_checkpoint(storage.join(self.path, _CHECKPOINT.format(name)), weights_only=False)
        self.kept_step = trainer.global_step
        if trainer.is_global_zero:
            publish.remove(storage.join(self.path, _MIDWAY))

    def weights(self) -> list[str]:
        """Return the URLs of the weights in the folder."""
        return [storage.join(self.path, name) for name in map(_WEIGHTS.format, (BEST, LAST)) if self._has(name)]

    def checkpoint(self, choice: str | None, midway: bool = False) -> str | None:
        """Return the URL of a checkpoint.

        Args:
            choice: A URL, or ``best`` or ``last`` for this folder's; ``last`` may not exist yet, so that a run can be
                started and resumed by the same command.
            midway: Whether ``last`` means where the run was stopped within an epoch, if it was.

        Returns:
            The URL; None to start from the beginning.
        """
        if choice not in (BEST, LAST):
            return choice
        if choice == LAST and midway and self._has(_MIDWAY):
            return storage.join(self.path, _MIDWAY)
        name = _CHECKPOINT.format(choice)
        return None if choice == LAST and not self._has(name) else storage.join(self.path, name)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self._best, "validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`."""
        self._best = state_dict["best"]
        self._validation_due = state_dict.get("validation_due", False)  # older versions kept nothing there

    def _has(self, name: str) -> bool:
        return name in storage.list_names(self.path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each of the Trainer's checkpoints whole or not at all, whenever the process is killed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint in place of the one that may be there."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        publish.replace(str(path), content.getvalue())


@rank_zero_only
def print_run(trainer: Trainer) -> None:
    """Print what a training run has come to, and where."""
    for name, value in trainer.callback_metrics.items():
        if name.startswith("val/"):
            print(f"{name:<30}{float(value):.1%}")
    path = find_callback(trainer, RunFolder).path
    print(f"{'weights':<30}{storage.local_path(path) or redact(path)}")
