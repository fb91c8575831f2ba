"""What a training run leaves behind: weights for others to load, and checkpoints to go on from."""

import io
from math import inf
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.data import storage
from lit_adv.data.remote import redact
from lit_adv.metrics import ROBUST_ACCURACY

BEST_WEIGHTS, LAST_WEIGHTS = "best.safetensors", "last.safetensors"
_LAST_CHECKPOINT = f"{ModelCheckpoint.CHECKPOINT_NAME_LAST}{ModelCheckpoint.FILE_EXTENSION}"


class WeightsWriter(Callback):
    """Writes the weights after each epoch: ``last.safetensors``, and ``best.safetensors`` by robust accuracy.

    The LightningModule offers the files' content as ``saved_weights()``, and logs the robust accuracy.

    Args:
        path: The folder for the weights and for the Trainer's checkpoints, local or remote.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._best = -inf

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the run can be judged and kept, and replaces no other run.

        Raises:
            ValueError: If there is nothing to validate on.
            FileExistsError: If the folder holds another run.
        """
        if not trainer.enable_validation:
            raise ValueError("the best weights are found by validation: name adversarial sets as data.validation")
        if trainer.ckpt_path is None and _LAST_CHECKPOINT in storage.list_names(self.path):
            raise FileExistsError(
                f"{redact(self.path)} holds a run already; go on with it by --ckpt_path last, or choose another folder "
                "by --output.path"
            )
        if trainer.is_global_zero:
            storage.prepare_folder(self.path)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the weights."""
        score = float(trainer.callback_metrics.get(ROBUST_ACCURACY, -inf))
        names = [LAST_WEIGHTS]
        if score > self._best:
            self._best = score
            names.append(BEST_WEIGHTS)
        if trainer.is_global_zero:
            content: bytes = pl_module.saved_weights()  # type: ignore[operator]
            for name in names:
                storage.replace(storage.join(self.path, name), content)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`."""
        self._best = state_dict["best"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each of the Trainer's checkpoints whole or not at all, whenever the process is killed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint in place of the one that may be there."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        folder, _, _ = str(path).rpartition("/")
        storage.prepare_folder(folder)
        storage.replace(str(path), content.getvalue())


@rank_zero_only
def print_weights(trainer: Trainer) -> None:
    """Print what a training run has come to, and where."""
    for name, value in trainer.callback_metrics.items():
        if name.startswith("val/"):
            print(f"{name:<30}{float(value):.1%}")
    path = find_weights(trainer).path
    print(f"{'weights':<30}{storage.local_path(path) or redact(path)}")


def find_weights(trainer: Trainer) -> WeightsWriter:
    """Return the Trainer's writer of weights."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, WeightsWriter))  # type: ignore[attr-defined]


def best_and_last() -> dict[str, Any]:
    """Return the settings with which Lightning's :class:`ModelCheckpoint` keeps ``best.ckpt`` and ``last.ckpt``.

    They are written at an epoch's very end, after its validation, where a run can be resumed exactly.
    """
    return {
        "filename": "best",
        "monitor": ROBUST_ACCURACY,
        "mode": "max",
        "save_last": True,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
