"""Every benchmark starts as the documentation says."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import _gpu_jobs, _gpu_passes, gpu
from benchmarks._gpu_record import Record, to_markdown
from lit_adv.cli.main import main
from tests.tiny_shards import sample_files, tar_bytes

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_starts(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if "torchattacks" in name:
        pytest.importorskip("torchattacks")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out


JOB = (
    f"--config {ROOT}/configs/generate/si_ni_ti_dim.yaml --model.surrogate import:tests.models_of_tests:linear "
    "--model.attack_options.steps 2 --data.image_size 16"
)
CPU = "--data.num_classes 10 --data.num_workers 0 --trainer.logger false --trainer.accelerator cpu --output.path"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clean images in a shard, and a folder of their adversarial versions beside it."""
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "clean.tar").write_bytes(tar_bytes(sample_files(4)))
    assert not main(
        ["generate", *JOB.split(), "--data.shards", f"{folder}/clean.tar", *CPU.split(), f"{folder}/attacked"]
    )
    return folder


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        (
            "evaluation_speed",
            "{}/attacked --target import:tests.models_of_tests:linear --num_workers 0 --repeats 1 --precision 32-true",
            ["import:tests.models_of_tests:linear, batch 16", "evaluation ", "test step ", "optimized model "],
        ),
        ("encoding", "{}/attacked", ["4 images of ", "webp as generate writes it"]),
        (
            "attack_overhead",
            "--model import:tests.models_of_tests:linear --size 16 --batch 2 --steps 1 --repeats 1 --threads 1 "
            "--precision float32",
            ["bare"],
        ),
        (
            "end_to_end",
            f"{JOB} --data.shards {{0}}/clean.tar {CPU} {{0}}/out",
            ["ratio of speeds 0."],
        ),
    ],
)
def test_a_benchmark_measures(
    name: str,
    words: str,
    said: list[str],
    attacked: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what is quick, so that the numbers say nothing."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name, *words.format(attacked).split()])
    threads = torch.get_num_threads()
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert all(text in printed for text in said), printed


def test_the_gpu_script_writes_numbers_and_a_table(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "benchmarks/gpu.sh"), "results", "--quick", "--parts", "peak", "--limit", "120"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "results/results.json").read_text())
    assert report["parts"]["peak"]["note"] == ""
    assert all(row["TFLOP_s"] > 0 for row in report["measured"])
    assert "| matrix product, 256^3, bf16 | TFLOP s " in (tmp_path / "results/results.md").read_text()


def test_a_pass_is_held_against_the_matrix_peak(tmp_path: Path) -> None:
    for part in ("peak", "passes"):
        _gpu_passes.PARTS[part](Record(tmp_path, part, tmp_path), quick=True)
    rows = Record(tmp_path, "", tmp_path).read()
    peak = next(row["TFLOP_s"] for row in rows if row["about"] == ["256^3", "bf16"])
    passes = [row for row in rows if row["what"] == "bare pass"]
    assert [row["batch"] for row in passes] == [2, 4]
    for row in passes:
        assert row["share_of_bf16_peak"] == row["TFLOP_s"] / peak
        assert row["TFLOP_s"] == pytest.approx(row["images_per_second"] * row["GFLOP_a_pass"] / 1000)


@pytest.mark.parametrize("part", ["attack", "profile", "float32", "autotuned"])
def test_a_part_of_the_gpu_script_measures(part: str, tmp_path: Path) -> None:
    record = Record(tmp_path, part, tmp_path)
    _gpu_passes.PARTS[part](record, quick=True)
    assert any(value > 0 for row in record.read() for value in row.values() if isinstance(value, float))


def test_the_gpu_script_runs_jobs_and_compares_their_bytes(tmp_path: Path) -> None:
    for part in ("end_to_end", "equal_bytes"):
        _gpu_jobs.PARTS[part](Record(tmp_path, part, tmp_path), quick=True)
    job, twice = Record(tmp_path, "", tmp_path).read()
    assert job["images_per_second"] > 0
    assert (twice["equal"], twice["of"]) == (1, 1)


def test_a_part_that_takes_too_long_is_noted_and_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "LIMITS", {"peak": 0.5, "passes": 0.1})
    monkeypatch.setattr(gpu, "SHORTEST", 0.2)
    gpu.measure(tmp_path, ["peak", "passes"], 10, quick=True, scratch=tmp_path)
    report = json.loads((tmp_path / "results.json").read_text())
    notes = {part: entry["note"] for part, entry in report["parts"].items()}
    assert notes == {"peak": "stopped after 0.5 s", "passes": "skipped: no time is left"}
    assert "- peak: stopped" in to_markdown(report)
