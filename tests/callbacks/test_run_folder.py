"""Which checkpoint is meant, and that a checkpoint is never half written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lit_adv.callbacks.run_folder import AtomicCheckpointIO, RunFolder


def test_last_means_the_folder_s_checkpoint_if_there_is_one(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    assert folder.checkpoint("last") is None
    (tmp_path / "last.ckpt").touch()
    assert folder.checkpoint("last") == f"{tmp_path}/last.ckpt"
    assert folder.checkpoint("best") == f"{tmp_path}/best.ckpt"
    assert folder.checkpoint("elsewhere/x.ckpt") == "elsewhere/x.ckpt"
    assert folder.checkpoint(None) is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1, "weight": torch.ones(3)}, path)
    with pytest.raises(AttributeError, match="pickle"):
        io.save_checkpoint({"epoch": 2, "weight": torch.ones(3), "broken": lambda: None}, path)
    assert io.load_checkpoint(path, weights_only=True)["epoch"] == 1
    io.save_checkpoint({"epoch": 2}, path)
    assert io.load_checkpoint(path, weights_only=True) == {"epoch": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("start", "stays"), [("midway.ckpt", True), ("last.ckpt", False)])
def test_a_run_from_elsewhere_gives_up_what_another_came_to_within_an_epoch(
    start: str, stays: bool, tmp_path: Path
) -> None:
    there: list[bool] = []

    class Step(BoringModel):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            there.append((tmp_path / "midway.ckpt").exists())

        def saved_weights(self) -> bytes:
            return b""

    def trainer(epochs: int, *callbacks: Callback) -> Trainer:
        return Trainer(
            default_root_dir=tmp_path, accelerator="cpu", max_epochs=epochs, limit_train_batches=1, limit_val_batches=0,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=list(callbacks),
        )  # fmt: skip

    trainer(1, RunFolder(str(tmp_path))).fit(Step())
    shutil.copy(tmp_path / "last.ckpt", tmp_path / "midway.ckpt")
    trainer(2, RunFolder(str(tmp_path))).fit(Step(), ckpt_path=str(tmp_path / start))
    assert there == [False, stays]


def test_a_resumed_run_knows_the_best_score() -> None:
    folder, resumed = RunFolder("a"), RunFolder("a")
    folder._best = 0.5
    resumed.load_state_dict(folder.state_dict())
    assert resumed._best == 0.5
