"""A training that is asked to stop, whenever that is: what it says is kept is kept, and the run goes on as it was."""

import json
import logging
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from lit_adv.callbacks import preemption
from lit_adv.callbacks.midway import StopTraining
from lit_adv.callbacks.preemption import PeerLostError
from lit_adv.callbacks.run_folder import RunFolder
from lit_adv.checkpoints import read_checkpoint
from lit_adv.cli.main import run as main
from lit_adv.errors import PreemptedError
from lit_adv.pages.training import read_history
from lit_adv.peers import LOST
from tests.test_fit import arguments
from tests.tiny_attacks import make_attacked

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 5  # an epoch, of 13 images

#: Runs of two epochs, by when they validate.
RUNS = {
    "each epoch": (),
    "every second epoch": ("--trainer.check_val_every_n_epoch=2",),
    "within epochs": ("--trainer.val_check_interval=2",),
    "every fourth step": ("--trainer.val_check_interval=4", "--trainer.check_val_every_n_epoch=null"),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"fgsm": str(make_attacked(tmp_path_factory.mktemp("sets"), "fgsm", "--model.attack=fgsm"))}


def command(sets: dict[str, str], output: Path, run: str, *extra: str) -> list[str]:
    more = ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--trainer.num_sanity_val_steps=0")
    return arguments(sets, output, *more, "--ckpt_path=last", *RUNS[run], *extra)


@pytest.fixture(scope="module")
def undisturbed(sets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of runs that nothing has stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for run in RUNS:
        main(command(sets, folder / run, run))
    return {run: folder / run for run in RUNS}


@pytest.mark.parametrize(
    ("run", "step", "validating", "kept"),
    [
        ("each epoch", STEPS, False, "midway"),  # a validation is to come
        ("each epoch", 2 * STEPS, True, "midway"),
        ("every second epoch", STEPS, False, "last"),
        ("within epochs", 2, True, "midway"),
        ("every fourth step", 8, False, "midway"),
    ],
)
def test_nothing_but_a_validation_is_lost(
    run: str,
    step: int,
    validating: bool,
    kept: str,
    sets: dict[str, str],
    undisturbed: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(preemption, "GRACE_SECONDS", 1e6)  # this process goes on
    asks = {"class_path": "tests.callbacks_of_tests.Asks", "init_args": {"step": step, "validating": validating}}
    with caplog.at_level(logging.WARNING), pytest.raises(PreemptedError):
        main(command(sets, tmp_path, run, f"--trainer.callbacks={json.dumps([asks])}"))
    assert f"what the run has come to is kept, up to step {step} of the {step} it has had" in caplog.text
    assert (tmp_path / "midway.ckpt").exists() == (kept == "midway")
    assert torch.load(tmp_path / f"{kept}.ckpt", weights_only=True)["global_step"] == step

    main(command(sets, tmp_path, run))
    assert not (tmp_path / "midway.ckpt").exists()
    for name in ("last.safetensors", "best.safetensors"):
        whole, resumed = (read_checkpoint(folder / name) for folder in (undisturbed[run], tmp_path))
        assert all(torch.equal(resumed[key], value) for key, value in whole.items())
    histories = [read_history(str(folder)) for folder in (undisturbed[run], tmp_path)]
    assert histories[0].epochs == histories[1].epochs
    steps = [[(row["step"], row["train/loss"]) for row in history.steps] for history in histories]
    assert steps[0] == steps[1]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (3, "lost another process: what the run has come to is kept, up to step 3 of the 5 it has had; go on"),
        (None, "lost another process: nothing of the run is kept yet; run the same command again"),
    ],
)
def test_where_another_process_is_lost_no_more_is_said_to_be_kept_than_is(
    kept: int | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, stop = RunFolder("run"), StopTraining("go on")
    folder.kept_step, stop.ending = kept, PeerLostError()
    state = SimpleNamespace(fn=TrainerFn.FITTING)
    trainer: Any = SimpleNamespace(callbacks=[folder], global_step=5, is_global_zero=True, state=state)
    before = signal.getsignal(LOST)
    try:
        stop.on_exception(trainer, Mock(), stop.ending)
    finally:
        signal.signal(LOST, before)
    assert caplog.messages == [said]
