"""What a run of two processes logs and prints: one set of logs, rank 0's, with the numbers of both."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_generate import ROOT
from tests.tiny_shards import sample_files, tar_bytes

#: Samples of each rank's shards. Rank 0 has ended long before rank 1; rank 1's second shard is cut off.
RANK_0, RANK_1 = (3, 2), 60


class Run(NamedTuple):
    """A run that has ended."""

    said: str
    status: int
    rows: list[dict[str, str]]
    wandb: list[Path]
    made: list[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of generate.py in two processes, one of whose shards is cut off."""
    folder = tmp_path_factory.mktemp("two_processes")
    shards = [tar_bytes(sample_files(count, 100 * n)) for n, count in enumerate((RANK_0[0], RANK_1, RANK_0[1], 4))]
    shards[3] = shards[3][:3000]
    for number, content in enumerate(shards):
        (folder / f"tiny-{number}.tar").write_bytes(content)
    loggers = [
        {"class_path": "lit_adv.loggers.OfflineWandbLogger", "init_args": {"save_dir": f"{folder}/logs"}},
        {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": f"{folder}/logs"}},
    ]
    command = [
        sys.executable, str(ROOT / "generate.py"), "--model.surrogate=import:tests.models_of_tests:paced",
        "--model.attack=fgsm", f"--data.shards={folder}/tiny-{{0..3}}.tar",
        "--data.num_classes=10", "--data.image_size=32",
        "--data.batch_size=4", f"--output.path={folder}/out", "--output.report_seconds=0",
        f"--trainer.logger={json.dumps(loggers)}", "--trainer.accelerator=cpu", "--trainer.devices=2",
        "--trainer.strategy=ddp",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "TEST_SECONDS_A_PASS": "0.1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240
    )
    [metrics] = folder.glob("logs/**/metrics.csv")
    with metrics.open() as file:
        rows = list(csv.DictReader(file))
    made = sorted(path.name for path in folder.glob("out/*.tar"))
    return Run(done.stdout, done.returncode, rows, sorted(folder.glob("logs/wandb/offline-run-*")), made)


def test_there_is_one_wandb_run_for_all_processes(run: Run) -> None:
    assert len(run.wandb) == 1


def test_the_log_ends_with_the_numbers_of_every_process_and_their_sum(run: Run) -> None:
    last = {name: float(value) for name, value in run.rows[-1].items() if value}
    assert (last["images/rank0"], last["images/rank1"], last["images"]) == (sum(RANK_0), RANK_1, sum(RANK_0) + RANK_1)
    assert (last["shards_done/rank0"], last["shards_done/rank1"], last["shards_done"]) == (2, 1, 3)
    assert (last["shards_failed/rank0"], last["shards_failed/rank1"], last["shards_failed"]) == (0, 1, 1)
    assert last["seconds_left"] == 0
    for rank in (0, 1):
        batches = -(-last[f"images/rank{rank}"] // 4)
        assert last[f"seconds_attacking/rank{rank}"] >= 0.3 * batches  # three passes a batch
        assert last[f"seconds_writing/rank{rank}"] > 0
        assert last[f"memory_gib/rank{rank}"] > 0.05
        assert 0 < last[f"images_per_second/rank{rank}"] < 4 / 0.3


def test_rank_0_goes_on_logging_the_others_progress_when_it_has_ended_itself(run: Run) -> None:
    waiting = [row for row in run.rows if float(row["shards_done/rank0"]) == 2]
    seen = sorted({int(float(row["images/rank1"])) for row in waiting})
    assert len(seen) > 3
    assert any(float(row["seconds_left/rank1"] or 0) > 0 for row in waiting)


def test_a_failed_shard_shows_with_its_reason_whatever_process_it_is_of(run: Run) -> None:
    assert run.status != 0
    assert run.made == ["tiny-0.tar", "tiny-1.tar", "tiny-2.tar"]
    assert "tiny-3.tar cannot be made, the others go on: it is cut off" in run.said  # at once, by rank 1
    assert "1 shards could not be made" in run.said
    tables = [json.loads(path.read_text()) for path in run.wandb[0].glob("files/media/table/failed_shards_*.json")]
    [(shard, reason, rank)] = tables[0]["data"]
    assert shard.endswith("/tiny-3.tar")
    assert reason.startswith("it is cut off")
    assert rank == 1


def test_the_summary_has_a_line_for_each_process_and_their_sum(run: Run) -> None:
    lines = [line.split() for line in run.said.splitlines()]
    [head] = [line for line in lines if line[:2] == ["images/s", "images"]]
    after = lines[lines.index(head) + 1 :][:3]
    names, counts = [line[:-11] for line in after], [[line[-10], *line[-7:-5]] for line in after]
    assert names == [["rank", "0"], ["rank", "1"], ["all"]]
    assert counts == [["5", "2", "0"], ["60", "1", "1"], ["65", "3", "1"]]  # images, shards done and failed
