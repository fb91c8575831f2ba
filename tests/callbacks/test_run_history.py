"""What a training run tells of itself in its folder: numbers as they were logged, a page, and no epoch twice."""

import json
from collections.abc import Container
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.callbacks.run_history import RunHistory
from lit_adv.cli.main import run as main
from lit_adv.errors import MendableError
from lit_adv.pages.training import read_history
from lit_adv.shards.attacked import AttackedFolder, ShardRecord


class Run:
    """A training run of 3 epochs of 4 steps, as far as the history sees it."""

    def __init__(self, folder: Path) -> None:
        self.history = RunHistory()
        held_out = AttackedFolder("/sets/<b>", {}, {"a.tar": ShardRecord(7, 1, ""), "b.tar": ShardRecord(4, 1, "")})
        self.trainer: Any = SimpleNamespace(
            is_global_zero=True,
            sanity_checking=False,
            global_step=0,
            current_epoch=0,
            max_epochs=3,
            log_every_n_steps=2,
            callback_metrics={},
            callbacks=[RunFolder(str(folder))],
            datamodule=SimpleNamespace(sets={}, attacks={"<b>held out</b>": held_out}),
        )

    def go(self, epochs: range, validated: Container[int] = range(9), updates: int = 4) -> None:
        """Train some epochs of 4 batches, from the steps on that lie before them."""
        self.trainer.global_step = 4 * epochs.start
        self.history.on_train_start(self.trainer, Mock())
        for self.trainer.current_epoch in epochs:
            for batch in range(4):
                self.trainer.global_step += (batch + 1) * updates // 4 - batch * updates // 4
                loss = 1 / max(self.trainer.global_step, 1)
                self.trainer.callback_metrics |= {"train/loss": loss, "learning_rate": 0.1, "train/gone": float("nan")}
                self.history.on_train_batch_end(self.trainer, Mock(), None, Mock(), batch)
            if self.trainer.current_epoch in validated:
                robust = 0.1 * self.trainer.global_step
                self.trainer.callback_metrics |= {"val/clean_accuracy": 0.75, "val/robust_accuracy": robust / 2}
                self.history.on_validation_end(self.trainer, Mock())
            terms = {"clean": 1.0 + self.trainer.current_epoch, "gone": float("nan")}
            self.history.on_train_epoch_end(self.trainer, Mock(mean_terms=lambda terms=terms: terms))
            # They are logged after that.
            self.trainer.callback_metrics |= {f"train/loss/{name}": value for name, value in terms.items()}


def test_the_folder_holds_what_was_logged(tmp_path: Path) -> None:
    Run(tmp_path).go(range(3))
    history = read_history(str(tmp_path))
    assert [(row["epoch"], row["step"]) for row in history.epochs] == [(0, 4), (1, 8), (2, 12)]
    assert [row["val/robust_accuracy"] for row in history.epochs] == pytest.approx([0.2, 0.4, 0.6])
    assert [(row["step"], row["train/loss"]) for row in history.steps] == [(n, 1 / n) for n in range(2, 13, 2)]
    assert history.sets["validation"] == {"<b>held out</b>": {"path": "/sets/<b>", "images": 11}}


def test_an_epoch_that_was_not_validated_has_no_accuracies(tmp_path: Path) -> None:
    Run(tmp_path).go(range(3), validated=[1])
    epochs = read_history(str(tmp_path)).epochs
    assert [row.get("val/robust_accuracy") for row in epochs] == [None, pytest.approx(0.4), None]


def test_each_epoch_has_its_own_terms_of_the_loss(tmp_path: Path) -> None:
    Run(tmp_path).go(range(3))
    history = read_history(str(tmp_path))
    assert [row["train/loss/clean"] for row in history.epochs] == [1, 2, 3]
    assert not any(name.startswith("train/loss/") for row in history.steps for name in row)
    assert not any("gone" in name for row in history.epochs for name in row)


def test_a_step_is_one_row_however_many_batches_it_takes_and_none_if_that_is_asked_for(tmp_path: Path) -> None:
    Run(tmp_path).go(range(3), updates=2)
    assert [row["step"] for row in read_history(str(tmp_path)).steps] == [2, 4, 6]
    run = Run(tmp_path)
    run.trainer.log_every_n_steps = 0
    run.go(range(1))
    assert read_history(str(tmp_path)).steps == []


def test_what_is_logged_before_a_checkpoint_is_in_the_folder_with_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.history.on_train_start(run.trainer, Mock())
    for run.trainer.global_step in (2, 4):
        run.history.on_train_batch_end(run.trainer, Mock(), None, Mock(), 0)
    run.history.on_save_checkpoint(run.trainer, Mock(), {})
    assert [row["step"] for row in read_history(str(tmp_path)).steps] == [2, 4]


def test_a_run_that_ends_before_its_last_epoch_is_known_to_have_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    run.go(range(2))
    run.history.on_train_end(run.trainer, Mock())
    main(["status", str(tmp_path), "--watch", "--html", str(tmp_path / "page.html")])
    assert "2 of 3 done, and the run has ended" in capsys.readouterr().out
    assert "2 of 3 epochs are done; the run has ended" in (tmp_path / "page.html").read_text()


def test_epochs_are_counted_by_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run(tmp_path).go(range(1, 2))  # the row of the first is gone
    main(["status", str(tmp_path)])
    assert "2 of 3 done" in capsys.readouterr().out


def test_a_resumed_run_goes_on_with_the_history_of_its_checkpoint(tmp_path: Path) -> None:
    Run(tmp_path).go(range(2))
    Run(tmp_path).go(range(1, 3))  # from the first epoch's end on
    history = read_history(str(tmp_path))
    assert [row["step"] for row in history.epochs] == [4, 8, 12]
    assert [row["step"] for row in history.steps] == [2, 4, 6, 8, 10, 12]


def test_a_new_run_begins_a_new_history(tmp_path: Path) -> None:
    Run(tmp_path).go(range(2))
    Run(tmp_path).go(range(1))
    assert [row["step"] for row in read_history(str(tmp_path)).epochs] == [4]


def test_status_tells_and_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run(tmp_path).go(range(2))
    page = tmp_path / "page.html"
    main(["status", str(tmp_path), "--html", str(page)])
    said = capsys.readouterr().out
    assert "2 of 3 done" in said
    assert "40.0%" in said
    shown = page.read_text()
    assert "2 of 3 epochs are done" in shown
    assert "<b>" not in shown
    assert shown.count("<svg") == 3  # accuracies, loss, learning rate
    assert (tmp_path / "training.html").read_text() == shown


@pytest.mark.parametrize("change", [{"steps": 3}, {"more": 1}, {"epochs": [{"epoch": 1}]}])
def test_a_damaged_history_ends_in_a_message(change: dict[str, Any], tmp_path: Path) -> None:
    Run(tmp_path).go(range(1))
    path = tmp_path / "history.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(MendableError, match="is damaged"):
        main(["status", str(tmp_path)])
    Run(tmp_path).go(range(1, 2))  # the run goes on all the same
    assert [row["step"] for row in read_history(str(tmp_path)).epochs] == [8]
