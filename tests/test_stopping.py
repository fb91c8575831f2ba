"""Evaluating and training, stopped in the middle: status 75, nothing half done, and the next run goes on."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from lit_adv.callbacks.preemption import stoppable
from lit_adv.checkpoints import read_checkpoint
from lit_adv.cli.main import run as main
from lit_adv.errors import PreemptedError
from tests.stopped_runs import running, wait_until
from tests.test_fit import arguments
from tests.tiny_attacks import OTHER, make_attacked

PACED = "import:tests.models_of_tests:paced"
#: From the signal to the end. It is cut short after 25, but a busy machine takes a while to take a process apart.
SECONDS = 60


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sets")
    options = "--model.attack_options.eps=16/255"
    return {name: str(make_attacked(folder, name, f"--model.attack={name}", options)) for name in ("fgsm", "mi_fgsm")}


def evaluation(sets: dict[str, str], report: Path, processes: int = 1) -> list[str]:
    return [
        *("test", "--config=transfer", f"--report.path={report}", f"--data.attacks={json.dumps(sets)}"),
        f"--model.targets={json.dumps([PACED, OTHER, f'defense:rs({OTHER}, sigma=0.5, n=4, alpha=0.2)'])}",
        *("--data.batch_size=2", "--data.num_workers=0", "--trainer.logger=false", "--trainer.accelerator=cpu"),
        *("--trainer.precision=32-true", f"--trainer.devices={processes}"),
        f"--trainer.strategy={'ddp' if processes > 1 else 'auto'}",
    ]


@pytest.fixture(scope="module")
def undisturbed(sets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """``results.json`` of an evaluation that nothing has stopped."""
    report = tmp_path_factory.mktemp("undisturbed")
    main(evaluation(sets, report))
    return (report / "results.json").read_bytes()


def counted(report: Path) -> int:
    return sum(path.name != "index.json" for path in (report / "counts").glob("*.json"))


@pytest.mark.parametrize(
    ("number", "processes"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)], ids=str
)
def test_an_evaluation_stops_in_order_and_the_next_one_counts_the_rest(
    number: signal.Signals, processes: int, sets: dict[str, str], undisturbed: bytes, tmp_path: Path
) -> None:
    report, log = tmp_path / "report", tmp_path / "log"
    with running(evaluation(sets, report, processes), log, pace=0.5) as process:
        wait_until(lambda: counted(report) > 0, process, log)
        os.kill(process.pid or 0, number)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    said = log.read_text()
    assert said.count("asked to stop: what is counted is kept beside the report; run the same command again") == 1
    assert "waiting" in said  # where the time went
    assert "Traceback" not in said
    assert not list(report.glob("results.*"))
    before = counted(report)
    assert 0 < before < 6 * 4
    main(evaluation(sets, report))
    assert (report / "results.json").read_bytes() == undisturbed


def test_a_command_that_has_not_begun_to_work_stops_in_order_too(sets: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(evaluation(sets, tmp_path / "report"), log, pace=0.5) as process:
        wait_until(lambda: "Seed set" in log.read_text(), process, log)
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    assert "asked to stop" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_processes_that_lightning_has_just_started_are_taken_along(sets: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(evaluation(sets, tmp_path / "report", processes=2), log, pace=0.5) as process:
        started = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: started.read_text() != "", process, log)
        children = [Path(f"/proc/{child}") for child in started.read_text().split()]
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    assert not any(child.exists() for child in children)
    assert "asked to stop before the work began" in log.read_text()


def test_a_process_that_is_being_started_is_known_before_the_run_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), num_processes=2, num_nodes=1)
    start = subprocess.Popen

    def asked_to_stop_in_between(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        child = start(["sleep", "60"])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        return child

    def start_and_wait() -> None:
        launcher._call_children_scripts()
        time.sleep(SECONDS)

    monkeypatch.setattr(subprocess, "Popen", asked_to_stop_in_between)
    with mock.patch.dict(os.environ), stoppable(), pytest.raises(PreemptedError):
        start_and_wait()
    [child] = launcher.procs
    child.kill()
    child.wait()


def test_an_evaluation_killed_at_random_moments_ends_with_the_results_of_one_that_was_not(
    sets: dict[str, str], undisturbed: bytes, tmp_path: Path
) -> None:
    report, log, moments = tmp_path / "report", tmp_path / "log", random.Random(0)
    for _ in range(3):
        with running(evaluation(sets, report), log, pace=0.3) as process:
            wait_until((report / "config.yaml").exists, process, log)
            time.sleep(moments.uniform(0, 2))  # and then it is killed
        (report / "config.yaml").unlink()
        # A run that came to its end before the moment did has all of them, the last written being this one.
        assert all(path.read_bytes() == undisturbed for path in report.glob("results.json"))
    main(evaluation(sets, report))
    assert (report / "results.json").read_bytes() == undisturbed
    assert not list((report / "counts").glob(".*"))


def test_a_training_stops_behind_a_step_and_goes_on_with_the_next(sets: dict[str, str], tmp_path: Path) -> None:
    extra = (
        "--data.shares={fgsm: 1, mi_fgsm: 1, self: 1}", "--model.init_args.ema_decay=0.9",
        "--model.init_args.recipe.init_args.attack_options={eps: 8/255, random_start: true}",
        "--trainer.max_epochs=2",
    )  # fmt: skip
    main(arguments(sets, tmp_path / "whole", *extra))

    stopped, log = tmp_path / "stopped", tmp_path / "log"
    # A run that is killed goes on from where it was kept, which here is after every step.
    kept_always = (*arguments(sets, stopped, *extra, "--ckpt_path=last"), "--output.midway_minutes=0")
    with running(kept_always, log, pace=0.3) as process:
        wait_until((stopped / "midway.ckpt").exists, process, log)
    assert not (stopped / "last.ckpt").exists()
    # One that is asked to stop is kept first.
    kept = (stopped / "midway.ckpt").read_bytes()
    with running(arguments(sets, stopped, *extra, "--ckpt_path=last"), log, pace=0.3) as process:
        wait_until(lambda: log.read_text().count("kept in") == 2, process, log)
        time.sleep(0.5)
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    assert "asked to stop: what the run has come to is kept" in log.read_text()
    assert (stopped / "midway.ckpt").read_bytes() != kept
    assert not (stopped / "last.ckpt").exists()
    steps = torch.load(stopped / "midway.ckpt", weights_only=True)["global_step"]
    assert 1 < steps < 5

    main(arguments(sets, stopped, *extra, "--ckpt_path=last"))
    assert not (stopped / "midway.ckpt").exists()
    for name in ("last.safetensors", "best.safetensors"):
        whole, resumed = (read_checkpoint(folder / name) for folder in (tmp_path / "whole", stopped))
        assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_two_processes_of_a_training_stop_together(sets: dict[str, str], tmp_path: Path) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    command = arguments(sets, output, "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=9")
    with running(command, log, pace=0.3) as process:
        wait_until((output / "last.ckpt").exists, process, log)
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    assert log.read_text().count("asked to stop") == 1


def test_an_epoch_goes_on_as_it_began_or_not_at_all(sets: dict[str, str], tmp_path: Path) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    with running((*arguments(sets, output), "--output.midway_minutes=0"), log, pace=0.3) as process:
        wait_until((output / "midway.ckpt").exists, process, log)
    with pytest.raises(ValueError, match=r"must go on as it began \(data\.seed 0 there, 1 now\)"):
        main(arguments(sets, output, "--ckpt_path=last", "--seed_everything=1"))
    with pytest.raises(FileExistsError, match="holds a run already; go on with it by --ckpt_path last"):
        main(arguments(sets, output))
    with pytest.raises(FileNotFoundError, match="holds no run to validate"):
        main(["validate", *arguments(sets, output, "--ckpt_path=last")[1:]])


def test_a_validation_that_is_stopped_says_that_nothing_is_kept(sets: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["validate", *arguments(sets, tmp_path / "run")[1:]]
    with running(command, log, pace=0.5) as process:
        wait_until(lambda: "Validation DataLoader" in log.read_text(), process, log)
        os.kill(process.pid or 0, signal.SIGUSR1)
        process.join(SECONDS)
        assert process.exitcode == 75, log.read_text()
    assert "asked to stop: nothing is kept of a validation; run the same command again" in log.read_text()
