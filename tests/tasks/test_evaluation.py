"""The rates of an evaluation against a plain recount of the image files, in one process and in two."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from lit_adv.cli.main import run
from lit_adv.data.evaluation import EvaluationDataModule
from lit_adv.defenses import create_defense
from lit_adv.models import load_model
from lit_adv.report import Cell
from lit_adv.shards import counted_shard, decode
from lit_adv.tasks import EvaluationTask
from tests.tiny_attacks import LINEAR, OTHER, make_attacked, read_stored

ROOT = Path(__file__).parents[2]
SMOOTHED = f"defense:rs({OTHER}, sigma=0.5, n=30, alpha=0.2)"
TARGETS: list[Any] = [
    LINEAR,
    OTHER,
    f"defense:bit_depth({LINEAR}, bits=1)",
    f"defense:rp({OTHER}, iterations=3)",
    SMOOTHED,
]


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("evaluation")
    return {
        "mi.fgsm": str(make_attacked(folder, "mi_fgsm", "--model.attack_options.eps=32/255")),
        "aimed": str(make_attacked(folder, "aimed", "--model.attack_options={target: random, eps: 64/255}")),
    }


def make_trainer() -> Trainer:
    return Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_checkpointing=False)


def evaluate(attacks: dict[str, str], targets: list[Any] = TARGETS, batch_size: int = 3) -> list[Cell]:
    task = EvaluationTask(targets)
    make_trainer().test(task, EvaluationDataModule(attacks, batch_size=batch_size), verbose=False)
    return task.cells


@pytest.fixture(scope="module")
def cells(attacks: dict[str, str]) -> dict[tuple[str, str], Cell]:
    return {(cell.attack, cell.target): cell for cell in evaluate(attacks)}


def read_records(path: Path) -> dict[str, Any]:
    with tarfile.open(path) as tar:
        records = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")]  # type: ignore[arg-type]
    return {record["key"]: record for record in records}


@torch.no_grad()
def plain_predictions(target: str, images: torch.Tensor, key: str) -> int:
    """What a target makes of one image, shown alone."""
    if target in (LINEAR, OTHER):
        return int(load_model(target)(images).argmax(1))
    name, options = {
        TARGETS[2]: ("bit_depth", {"bits": 1}),
        TARGETS[3]: ("rp", {"iterations": 3}),
        SMOOTHED: ("rs", {"sigma": 0.5, "n": 30, "alpha": 0.2}),
    }[target]
    defense = create_defense(name, load_model(LINEAR if name == "bit_depth" else OTHER), **options)
    return int(defense.predict(images, [key]))


@pytest.mark.parametrize("attack", ["mi.fgsm", "aimed"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_counts_equal_a_plain_recount(
    attack: str, target: str, attacks: dict[str, str], cells: dict[tuple[str, str], Cell]
) -> None:
    goals = {}
    for path in Path(attacks[attack]).glob("*.tar"):
        goals |= {key: record.get("target") for key, record in read_records(path).items()}
    images = fooled = correct = fooled_of_correct = reached = abstained = linf = 0
    for sample in read_stored(Path(attacks[attack])):
        before, after = (
            plain_predictions(target, pixels[None] / 255, sample.key) for pixels in (sample.clean, sample.adversarial)
        )
        images += 1
        fooled += after != sample.label
        abstained += after == -1
        reached += after == goals[sample.key]
        linf += int((sample.adversarial.int() - sample.clean.int()).abs().max())
        if before == sample.label:
            correct += 1
            fooled_of_correct += after != sample.label

    result = cells[attack, target].result
    assert images == 13
    assert result.success[:2] == (fooled, images)
    assert result.clean_accuracy[:2] == (correct, images)
    assert result.success_on_correct[:2] == (fooled_of_correct, correct)
    assert result.targeted_success[:2] == ((reached, images) if attack == "aimed" else (0, 0))
    assert result.abstention[:2] == (abstained, images)
    assert result.breaches == 0
    assert result.mean_linf == linf / images


@pytest.mark.parametrize("targets", [[LINEAR], [LINEAR, OTHER]])
def test_each_pair_is_read_and_decoded_once_however_many_the_targets(
    targets: list[str], attacks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()

    def count(module: Any, name: str) -> None:
        original = getattr(module, name)

        def counting(*arguments: Any, **settings: Any) -> Any:
            calls[name] += 1
            return original(*arguments, **settings)

        monkeypatch.setattr(module, name, counting)

    count(counted_shard, "staged")
    count(counted_shard, "read_sample")
    count(decode, "decode_image")
    evaluate(attacks, targets)
    shards, pairs = 3 * len(attacks), 13 * len(attacks)
    assert calls == {"staged": shards, "read_sample": pairs, "decode_image": 2 * pairs}


def test_the_recount_sees_successes_and_failures_and_abstentions(cells: dict[tuple[str, str], Cell]) -> None:
    results = [cell.result for cell in cells.values()]
    assert any(0 < result.success.value < 1 for result in results)
    assert any(0 < result.clean_accuracy.value < 1 for result in results)
    assert any(result.abstention.hits for result in results)


def test_white_box_means_that_the_attack_saw_the_weights(cells: dict[tuple[str, str], Cell]) -> None:
    saw = {target: cells["mi.fgsm", target].white_box for target in TARGETS}
    assert saw == {target: LINEAR in target for target in TARGETS}


def test_the_budget_comes_from_the_manifest(cells: dict[tuple[str, str], Cell]) -> None:
    assert cells["mi.fgsm", LINEAR].budget == 32
    assert cells["aimed", LINEAR].budget == 64


def test_an_image_beyond_the_budget_is_counted(attacks: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(attacks["mi.fgsm"], tmp_path / "breach"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["model"]["attack_options"]["eps"] = "31/255"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    [cell] = evaluate({"breach": str(folder)}, [OTHER])
    changed = [(s.adversarial.int() - s.clean.int()).abs().max() > 31 for s in read_stored(folder)]
    assert cell.result.breaches == sum(changed) > 0


def test_the_batch_size_changes_nothing(attacks: dict[str, str], cells: dict[tuple[str, str], Cell]) -> None:
    assert repr(evaluate(attacks, batch_size=16)) == repr(list(cells.values()))


def test_clean_images_that_attacks_share_are_classified_once(attacks: dict[str, str]) -> None:
    task = EvaluationTask([LINEAR])
    shown: list[int] = []
    task.targets[0].module.register_forward_pre_hook(lambda _, inputs: shown.append(len(inputs[0])))
    make_trainer().test(task, EvaluationDataModule(attacks, batch_size=16), verbose=False)
    assert sum(shown) == 1 + 3 * 13  # the check before the run; each attack's images, and the clean ones once


def test_two_processes_count_the_same_as_one(attacks: dict[str, str], tmp_path: Path) -> None:
    def arguments(processes: int) -> list[str]:
        return [
            *("test", f"--config={ROOT}/configs/evaluate/transfer.yaml", f"--data.attacks={json.dumps(attacks)}"),
            f"--model.targets={json.dumps(TARGETS)}",
            *("--data.batch_size=3", "--data.num_workers=0", f"--report.path={tmp_path}/{processes}"),
            *("--trainer.logger=false", "--trainer.accelerator=cpu", f"--trainer.devices={processes}"),
            f"--trainer.strategy={'ddp' if processes > 1 else 'auto'}",
        ]

    run(arguments(1))
    command = [sys.executable, str(ROOT / "train_adv.py"), *arguments(2)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    alone, together = ((tmp_path / name / "results.json").read_text() for name in ("1", "2"))
    assert json.loads(together) == json.loads(alone) != []
