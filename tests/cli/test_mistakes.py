"""Mistakes of users end in a line or two that name what is wrong, never in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_adv.cli.main import main
from tests.tiny_shards import image_file, sample_files, tar_bytes

ROOT = Path(__file__).parents[2]
LINEAR = "--model.surrogate=import:tests.models_of_tests:linear"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images, a shard, and a file, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIT_ADV_TRACEBACK", raising=False)
    Path("images/cat").mkdir(parents=True)
    Path("images/cat/a.jpg").write_bytes(image_file())
    Path("shard.tar").write_bytes(tar_bytes(sample_files(3)))
    Path("file").touch()
    Path("bad.csv").write_text("a.jpg;1\n")


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command says when it fails."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code not in (0, None)
    message = str(end.value.code) if isinstance(end.value.code, str) else capsys.readouterr().err
    assert "Traceback" not in message
    assert len([line for line in message.splitlines() if not line.startswith(("usage:", "tip:", "(", "  "))]) <= 2
    return message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("pack nowhere out", "there is no folder nowhere"),
        ("pack images file/out", "cannot write into the folder file/out"),
        ("pack images out --labels none.csv", "none.csv"),
        ("pack images out --labels bad.csv", "bad.csv, line 1"),
        ("pack images out --samples-per-shard 0", "samples_per_shard must lie in [1,"),
        ("examples nowhere", "there is no shard nowhere"),
        ("examples shard.tar", "holds no clean images"),
        ("examples shard.tar --count 0", "must be a number from 1, got '0'"),
        ("verify nowhere", "nowhere is empty or not there"),
        ("verify images --threads none", "must be a number from 1, got 'none'"),
        ("verify images", "job.json: it is missing"),
    ],
)
def test_a_command_on_files_names_what_is_wrong(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "verify images":
        assert main(command.split()) == 1
        assert message in capsys.readouterr().out
    else:
        assert message in said(command.split(), capsys)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--data.shards=nothing.tar", "there is no shard nothing.tar"),
        ("--data.shards=gs://bucket/a.tar", "cannot use gs://bucket/a.tar: Please install gcsfs"),
        ("--data.shards=nonsense://bucket/a.tar", "cannot use nonsense://bucket/a.tar: Protocol not known"),
        ("--trainer.accelerator=cuda", "the trainer cannot be had as configured"),
        ("--trainer.precision=16-true", "choose bf16-mixed, 16-mixed or 32-true"),
        ("--trainer.precision=64-true", "choose bf16-mixed, 16-mixed or 32-true"),
        ("--trainer.devices=0", "the trainer cannot be had as configured"),
        ("--trainer.precison=32", "nrecognized arguments: --trainer.precison"),
        ("--output.path=file/out", "cannot write into the folder file/out"),
        ("--model.attack=fgms", "unknown attack 'fgms'"),
        ("--config=si_ni_tim_dim", "there is no file si_ni_tim_dim"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_generation_names_what_is_wrong(
    typed: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "cuda" in typed:
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    fine = ["--data.shards=shard.tar", "--output.path=out", "--trainer.accelerator=cpu", "--data.image_size=32"]
    fine.append("--data.num_classes=10")
    rest = [argument for argument in fine if argument.partition("=")[0] != typed.partition("=")[0]]
    assert message in said(["generate", LINEAR, "--trainer.logger=false", *rest, typed], capsys)


@pytest.mark.parametrize("command", ["generate", "test", "fit", "validate"])
def test_what_is_required_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "required" in said([command], capsys)


@pytest.mark.parametrize("place", ["home", "working folder"])
def test_wandb_never_ends_the_work(place: str, tmp_path: Path) -> None:
    """Neither without a home folder nor where nothing can be written."""
    logger = "--trainer.logger={class_path: lit_adv.loggers.OfflineWandbLogger}"
    command = [
        *(sys.executable, str(ROOT / "generate.py"), LINEAR, "--model.attack=fgsm", "--data.image_size=32", logger),
        "--data.num_classes=10",
        *(f"--data.shards={tmp_path}/shard.tar", f"--output.path={tmp_path}/out", "--trainer.accelerator=cpu"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    if place == "home":
        environment["HOME"] = "/proc/nobody"
    folder = Path("/proc") if place == "working folder" else tmp_path
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/manifest.json").is_file()
    assert ("the run is not tracked by it" in done.stderr) == (place == "working folder")
