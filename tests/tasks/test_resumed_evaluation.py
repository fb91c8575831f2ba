"""An evaluation counts what is missing, and nothing else; its results do not tell what was counted when."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from lightning.pytorch import Trainer
from PIL import features

from lit_adv.callbacks.evaluation_report import EvaluationReport
from lit_adv.cli import status
from lit_adv.cli.main import run as main
from lit_adv.data.evaluation import EvaluationDataModule
from lit_adv.errors import MendableError
from lit_adv.shards import counted_shard, storage
from lit_adv.shards.attacked import open_attacked
from lit_adv.shards.counts import ShardAnswers, ShardImages, counts_file
from lit_adv.tasks import EvaluationTask
from lit_adv.tasks.targets import Target
from tests import models_of_tests
from tests.tiny_attacks import LINEAR, OTHER, make_attacked, read_stored

SMOOTHED = f"defense:rs({OTHER}, sigma=0.5, n=4, alpha=0.2)"
TARGETS = [LINEAR, SMOOTHED]
SHARDS = [f"tiny-{number:06d}.tar" for number in range(3)]


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("evaluation")
    return {
        "mi.fgsm": str(make_attacked(folder, "mi_fgsm", "--model.attack_options.eps=32/255")),
        "aimed": str(make_attacked(folder, "aimed", "--model.attack_options={target: random, eps: 64/255}")),
    }


class Seen(Counter[str]):
    """How often shards were read, by attack and name, and how many images each target was shown, by its name."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Note which shards are read, and what targets are shown."""
    noted, read, predict = Seen(), counted_shard.staged, Target.predict

    def reading(url: str) -> Any:
        noted["/".join(url.rsplit("/", 2)[1:])] += 1
        return read(url)

    def predicting(target: Target, images: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        noted[target.name] += len(images)
        return predict(target, images, keys)

    monkeypatch.setattr(counted_shard, "staged", reading)
    monkeypatch.setattr(Target, "predict", predicting)
    return noted


def evaluate(attacks: dict[str, str], report: Path | str, targets: list[Any] = TARGETS, batch_size: int = 3) -> bytes:
    """Run an evaluation; return ``results.json``."""
    callback = EvaluationReport(str(report))
    task = EvaluationTask(targets, storage.join(str(report), "counts"))
    trainer = Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_checkpointing=False,
        callbacks=[callback],
    )  # fmt: skip
    trainer.test(task, EvaluationDataModule(attacks, batch_size=batch_size), verbose=False)
    return storage.read_bytes([storage.join(str(report), "results.json")])[0]


@pytest.fixture(scope="module")
def finished(attacks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A finished evaluation: its folder, and its results."""
    report = tmp_path_factory.mktemp("finished") / "report"
    return report, evaluate(attacks, report)


@pytest.fixture
def report(finished: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(finished[0], tmp_path / "report"))


@pytest.fixture
def results(finished: tuple[Path, bytes]) -> bytes:
    return finished[1]


def test_a_finished_evaluation_reads_no_shard_and_shows_no_target_anything(
    attacks: dict[str, str], report: Path, results: bytes, seen: Seen
) -> None:
    pictures = {path.name: path.read_bytes() for path in report.glob("*.png")}
    assert evaluate(attacks, report) == results
    assert not seen
    assert {path.name: path.read_bytes() for path in report.glob("*.png")} == pictures
    assert {"examples_mi.fgsm.png", "examples_aimed.png", "heat_map.png"} == {*pictures}


def test_a_further_target_reads_each_shard_once_and_nothing_else_is_shown_anything(
    attacks: dict[str, str], report: Path, results: bytes, seen: Seen, tmp_path: Path
) -> None:
    grown = evaluate(attacks, report, [*TARGETS, OTHER])
    assert dict(seen) == {f"{Path(folder).name}/{shard}": 1 for folder in attacks.values() for shard in SHARDS} | {
        OTHER: 13 * 3  # the images of two attacks, and the clean ones, which they share
    }
    assert grown == evaluate(attacks, tmp_path / "fresh", [*TARGETS, OTHER])
    assert evaluate(attacks, report) == results  # and without it again


def test_a_further_attack_is_all_that_is_shown_and_its_clean_images_are_known(
    attacks: dict[str, str], results: bytes, seen: Seen, tmp_path: Path
) -> None:
    evaluate({"mi.fgsm": attacks["mi.fgsm"]}, tmp_path, [LINEAR])
    seen.clear()
    grown = evaluate(attacks, tmp_path, [LINEAR])
    assert seen == {f"aimed/{shard}": 1 for shard in SHARDS} | {LINEAR: 13}
    assert json.loads(grown) == [row for row in json.loads(results) if row["target"] == LINEAR]


def test_shards_of_which_all_is_counted_are_not_read(
    attacks: dict[str, str], report: Path, results: bytes, seen: Seen
) -> None:
    (report / "counts" / counts_file("aimed", SHARDS[1], LINEAR)).unlink()
    assert evaluate(attacks, report) == results
    assert seen == {f"aimed/{SHARDS[1]}": 1, LINEAR: 4}


@pytest.mark.parametrize("damage", ["cut", "a digit", "empty", "of another shard"])
@pytest.mark.parametrize("target", [None, LINEAR])
def test_damaged_counts_are_made_again(
    damage: str, target: str | None, attacks: dict[str, str], report: Path, results: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    path = report / "counts" / counts_file("mi.fgsm", SHARDS[0], target)
    whole = path.read_bytes()
    digit = whole.index(b"labels" if target is None else b'"predictions"') + 17
    other = (path.parent / counts_file("mi.fgsm", SHARDS[1], target)).read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-9],
            "a digit": whole[:digit] + bytes([whole[digit] ^ 1]) + whole[digit + 1 :],
            "empty": b"",
            "of another shard": other,
        }[damage]
    )
    assert evaluate(attacks, report) == results
    assert path.read_bytes() == whole
    assert any("counted again" in line for line in caplog.messages)


def test_changed_shards_are_counted_again(
    attacks: dict[str, str], report: Path, seen: Seen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weaker = make_attacked(tmp_path, "mi_fgsm", "--model.attack_options.eps=8/255")
    changed = attacks | {"mi.fgsm": str(weaker)}
    grown = evaluate(changed, report)
    assert seen[f"mi_fgsm/{SHARDS[0]}"] == 1
    assert not seen[f"aimed/{SHARDS[0]}"]
    assert grown == evaluate(changed, tmp_path / "fresh")
    [line] = [line for line in caplog.messages if "counted again" in line]
    assert line.startswith("shards of 'mi.fgsm' have changed since they were counted")


def test_a_target_with_other_weights_is_shown_all_again(
    attacks: dict[str, str], report: Path, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(models_of_tests, "linear", lambda: models_of_tests._build(seed=2))
    grown = evaluate(attacks, report)
    assert (seen[LINEAR], seen[SMOOTHED]) == (13 * 3, 0)
    assert grown == evaluate(attacks, tmp_path / "fresh")
    [line] = [line for line in caplog.messages if "counted again" in line]
    assert f"counts of {LINEAR!r} were made otherwise, target.weights_sha256: " in line


def test_a_defense_with_another_option_is_shown_all_again(
    attacks: dict[str, str], report: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    named = {"name": SMOOTHED, "defense": "rs", "model": OTHER, "sigma": 0.25, "n": 4, "alpha": 0.2}
    evaluate(attacks, report, [LINEAR, named])
    assert not seen[LINEAR]
    assert seen[SMOOTHED]
    [line] = [line for line in caplog.messages if "counted again" in line]
    assert "target.settings.sigma: 0.5 there, 0.25 now" in line


def test_another_libjpeg_shows_all_again_to_the_defenses_that_use_it_alone(
    attacks: dict[str, str], tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    compressed = f"defense:jpeg({OTHER}, quality=50)"
    evaluate(attacks, tmp_path, [LINEAR, compressed])
    seen.clear()
    monkeypatch.setattr(features, "version", lambda name: "0.9")
    evaluate(attacks, tmp_path, [LINEAR, compressed])
    assert (seen[LINEAR], seen[compressed]) == (0, 13 * 3)
    [line] = [line for line in caplog.messages if "counted again" in line]
    assert "target.libraries.libjpeg: " in line


def test_another_batch_size_may_change_last_bits_so_all_is_counted_again(
    attacks: dict[str, str], report: Path, results: bytes, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    assert evaluate(attacks, report, batch_size=4) == results
    assert seen[LINEAR] == 13 * 3
    assert any("batch_size: 3 there, 4 now" in line for line in caplog.messages)


def test_the_files_hold_what_every_target_said_of_every_image(attacks: dict[str, str], report: Path) -> None:
    index = json.loads((report / "counts/index.json").read_text())
    assert index["targets"] == TARGETS
    assert index["attacks"]["aimed"] == {"path": attacks["aimed"], "shards": SHARDS}
    model, stored = models_of_tests.linear(), {sample.key: sample for sample in read_stored(Path(attacks["aimed"]))}
    keys = []
    for shard in index["attacks"]["aimed"]["shards"]:
        images = ShardImages.from_json((report / "counts" / counts_file("aimed", shard)).read_bytes())
        answers = ShardAnswers.from_json((report / "counts" / counts_file("aimed", shard, LINEAR)).read_bytes())
        assert images.made_with["shard"]["sha256"] == open_attacked(attacks["aimed"]).shards[shard].sha256
        for place, key in enumerate(images.keys):
            sample = stored[key]
            assert images.labels[place] == sample.label
            assert images.aims is not None
            assert images.aims[place] != sample.label
            assert images.linf[place] == (sample.adversarial.int() - sample.clean.int()).abs().max()
            with torch.no_grad():
                said = [int(model(i[None] / 255).argmax(1)) for i in (sample.adversarial, sample.clean)]
            assert said == [answers.predictions[place], answers.clean_predictions[place]]
        keys += images.keys
    assert sorted(keys) == sorted(stored)


def test_a_run_that_does_not_end_leaves_no_results_that_look_complete(
    attacks: dict[str, str], report: Path, results: bytes, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shown = EvaluationTask.test_step

    def stop_in_the_third_step(task: EvaluationTask, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2:
            raise RuntimeError("stopped")
        return shown(task, batch, batch_idx)

    monkeypatch.setattr(EvaluationTask, "test_step", stop_in_the_third_step)
    with pytest.raises(RuntimeError, match="stopped"):
        evaluate(attacks, report, [*TARGETS, OTHER])
    monkeypatch.undo()
    assert not list(report.glob("results.*"))
    # The folder tells how far it is, and of what.
    monkeypatch.setattr(status.time, "sleep", Mock(side_effect=KeyboardInterrupt))
    assert main(["status", str(report), "--html", str(report / "page.html"), "--watch"]) == 130
    said = capsys.readouterr().out
    kept = len(list((report / "counts").glob("*.json"))) - 1 - 6  # an index, and the images of each shard
    assert f"counts    {kept} of 18 are kept, " in said
    assert "page      when all is counted\n" in said
    with pytest.raises(MendableError, match="has no page until all is counted"):
        main(["status", str(report), "--html", str(report / "page.html")])
    monkeypatch.undo()
    assert evaluate(attacks, report) == results


@pytest.fixture
def remote() -> Iterator[str]:
    yield "memory://evaluations/report"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_counts_may_lie_on_object_storage(attacks: dict[str, str], results: bytes, seen: Seen, remote: str) -> None:
    assert evaluate(attacks, remote) == results
    seen.clear()
    assert evaluate(attacks, remote) == results
    assert not seen


def test_the_log_says_how_much_is_kept(attacks: dict[str, str], report: Path, caplog: pytest.LogCaptureFixture) -> None:
    (report / "counts" / counts_file("aimed", SHARDS[1], LINEAR)).unlink()
    with caplog.at_level(logging.INFO):
        evaluate(attacks, report)
    assert any(line.startswith("11 of 12 counts") and "1 shards are to be read" in line for line in caplog.messages)
