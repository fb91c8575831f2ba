"""Whole generation runs through a Lightning Trainer."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import webdataset as wds
from lightning.pytorch import Trainer

import lit_adv
from lit_adv.callbacks.output import BudgetError
from lit_adv.callbacks.tally import Tally
from lit_adv.callbacks.writer import GenerationFailedError, RunObserver, ShardWriter
from lit_adv.data.decoder import Decoder, Sample
from lit_adv.shards.job import ConfigMismatchError
from lit_adv.shards.shard_file import ShardFile
from lit_adv.shards.sidecar import finished
from tests import tiny_job, tiny_shards

MakeShard = Callable[..., Path]

# Lightning's own remarks on a tiny CPU run over an iterable of batches.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]

COMPLETE = [
    "README.md", "_info.json", "_shards.json", "job.json", "manifest.json",
    "shard-000000.json", "shard-000000.tar", "shard-000001.json", "shard-000001.tar",
]  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files but the sidecars, which hold timings."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if not path.name.startswith("shard-") or path.suffix == ".tar"
    }


def test_a_run_makes_shards_sidecars_and_manifest(two_shards: str, tmp_path: Path) -> None:
    writer = tiny_job.generate(two_shards, str(tmp_path / "out"))
    assert names(tmp_path / "out") == COMPLETE
    assert (writer.summary.shards, writer.summary.images, writer.summary.skipped) == (2, 11, 0)
    assert 0 < writer.summary.linf_mean <= 4
    job = json.loads((tmp_path / "out/job.json").read_text())
    assert job["model"] == {"attack": {"name": "noise", "size": 4}}
    shards = json.loads((tmp_path / "out/_shards.json").read_text())
    assert shards == ["shard-000000", "shard-000001"]
    assert (job["output"], job["device"], job["precision"]) == (
        {"format": "png", "clean_images": True},
        "cpu",
        "32-true",
    )


def test_a_run_tells_where_its_time_goes(two_shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, add = Decoder.__call__, ShardFile.add

    def decode_slowly(self: Decoder, files: Any) -> Sample:
        time.sleep(0.03)
        return decode(self, files)

    def add_slowly(self: ShardFile, *arguments: Any) -> None:
        time.sleep(0.05)
        add(self, *arguments)

    monkeypatch.setattr(Decoder, "__call__", decode_slowly)
    monkeypatch.setattr(ShardFile, "add", add_slowly)
    writer = tiny_job.generate(two_shards, str(tmp_path / "out"), output={"queue_batches": 1})
    [tally] = writer.tallies
    assert (tally.images, tally.shards_done, tally.shards_assigned, tally.ended) == (11, 2, 2, True)
    assert tally.seconds_attacking == 5 * 0.25  # what the module says of each batch
    assert tally.seconds_waiting >= 8 * 0.03  # the first batch of 3 is read before the clock starts
    assert tally.seconds_writing >= 11 * 0.05
    assert tally.seconds_blocked > 0
    assert tally.seconds_waiting + tally.seconds_blocked <= tally.seconds
    assert tally.memory_bytes > 2**25


class Listener(RunObserver):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[list[Tally]] = []

    def on_report(self, trainer: Trainer, tallies: list[Tally]) -> None:
        self.heard.append(tallies)


def test_observers_hear_how_far_the_run_is_as_often_as_they_may(two_shards: str, tmp_path: Path) -> None:
    often, seldom = Listener(), Listener()
    tiny_job.generate(two_shards, str(tmp_path / "a"), observers=[often], output={"report_seconds": 0})
    tiny_job.generate(two_shards, str(tmp_path / "b"), observers=[seldom], output={"report_seconds": 1e6})
    attacked = [tally.seconds_attacking for [tally] in often.heard]
    assert attacked[:5] == [0.25, 0.5, 0.75, 1.0, 1.25]  # after each batch
    assert {tally.images for [tally] in seldom.heard} == {11}  # at the end
    assert seldom.heard[-1][0].ended


@pytest.mark.parametrize("fault", ["writer", "attack"])
def test_observers_hear_of_a_run_that_ends_badly(
    fault: str, two_shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, listener = tiny_job.NoiseModule(budget=3 if fault == "writer" else 4), Listener()
    if fault == "attack":
        step = module.predict_step
        monkeypatch.setattr(module, "predict_step", lambda batch, batch_idx: step(batch, 1 / (4 - batch_idx)))
    with pytest.raises((BudgetError, ZeroDivisionError)):
        tiny_job.generate(two_shards, str(tmp_path / "out"), module=module, observers=[listener])
    [tally] = listener.heard[-1]
    assert (tally.shards_done, tally.shards_assigned) == (0 if fault == "writer" else 1, 2)
    assert tally.seconds_attacking >= 0.25


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_a_byte(workers: int, two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "alone"))
    tiny_job.generate(two_shards, str(tmp_path / "workers"), num_workers=workers)
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")


@pytest.mark.parametrize("image_format", ["webp", "png"])
def test_plain_webdataset_reads_the_output(image_format: str, two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"), output={"format": image_format})
    shards = [str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]
    dataset = wds.WebDataset(shards, shardshuffle=False).decode("rgb8")
    samples = list(dataset.to_tuple("__key__", image_format, f"clean.{image_format}", "cls", "json"))
    assert [int(key) for key, *_ in samples] == [*range(7), *range(100, 104)]
    for key, adversarial, clean, label, record in samples:
        change = abs(adversarial.astype(int) - clean.astype(int)).max()
        assert (record["key"], record["label"], record["linf"]) == (key, label, change)
        assert label == int(key) % 10
        assert change <= 4


def test_hugging_face_datasets_reads_the_output(two_shards: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    data = datasets.load_dataset("webdataset", data_files=str(tmp_path / "out/*.tar"), split="train", streaming=True)
    samples = list(data)
    assert len(samples) == 11
    assert samples[0]["png"].size == (16, 16)


def test_only_what_is_missing_is_made_again(two_shards: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiny_job.generate(two_shards, str(out))
    before = contents(out)
    kept = (out / "shard-000000.tar").stat().st_mtime_ns
    for name in ("shard-000001.tar", "shard-000001.json", "manifest.json", "_info.json"):
        (out / name).unlink()
    tiny_job.generate(two_shards, str(out))
    assert contents(out) == before
    assert (out / "shard-000000.tar").stat().st_mtime_ns == kept


def test_a_finished_job_may_be_run_again(two_shards: str, tmp_path: Path) -> None:
    first = tiny_job.generate(two_shards, str(tmp_path / "out"))
    before = contents(tmp_path / "out")
    again = tiny_job.generate(two_shards, str(tmp_path / "out"), module=tiny_job.NoiseModule(kill_at=0))
    assert again.summary == first.summary
    assert contents(tmp_path / "out") == before


def test_a_killed_run_goes_on_to_the_same_bytes(two_shards: str, tmp_path: Path) -> None:
    root = Path(lit_adv.__file__).parents[1]
    killed = subprocess.run(
        [sys.executable, tiny_job.__file__, two_shards, str(tmp_path / "killed"), "4"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed/manifest.json").exists()
    tiny_job.generate(two_shards, str(tmp_path / "killed"))
    tiny_job.generate(two_shards, str(tmp_path / "straight"))
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")
    assert names(tmp_path / "killed") == COMPLETE


def test_other_settings_in_the_same_folder_are_refused_by_name(two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    before = contents(tmp_path / "out")
    with pytest.raises(ConfigMismatchError) as error:
        tiny_job.generate(
            two_shards,
            str(tmp_path / "out"),
            module=tiny_job.NoiseModule(noise=2),
            output={"format": "webp"},
            batch_size=5,
        )
    message = str(error.value)
    for line in (
        "model.attack.size: 4 there, 2 now",
        'output.format: "png" there, "webp" now',
        "data.batch_size: 3 there, 5 now",
    ):
        assert line in message
    assert contents(tmp_path / "out") == before


def test_a_breach_of_the_budget_ends_the_run_without_a_shard(two_shards: str, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"shard-000000\.tar: image '0000' is changed by 4 grey levels.* budget is 3"):
        tiny_job.generate(two_shards, str(tmp_path / "out"), module=tiny_job.NoiseModule(budget=3))
    assert names(tmp_path / "out") == ["_shards.json", "job.json"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_fails_after_all_others_are_done(workers: int, make_shard: MakeShard, tmp_path: Path) -> None:
    for name in ("a", "cut", "empty", "z"):
        make_shard(f"in/{name}.tar")
    cut = tmp_path / "in/cut.tar"
    cut.write_bytes(cut.read_bytes()[:4096])
    (tmp_path / "in/empty.tar").write_bytes(b"")
    with pytest.raises(GenerationFailedError) as error:
        tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out"), num_workers=workers)
    assert "2 shards could not be made" in str(error.value)
    assert f"{cut}: it is cut off" in str(error.value)
    assert "empty.tar: it is empty (0 bytes)" in str(error.value)
    assert finished(str(tmp_path / "out")) == {"a", "z"}
    make_shard("in/cut.tar")
    make_shard("in/empty.tar")
    assert tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out")).summary.images == 16


def test_a_run_that_ends_in_an_error_names_the_shards_that_failed_before(
    make_shard: MakeShard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tar").write_bytes(b"")
    make_shard("in/z.tar", 2)
    with pytest.raises(BudgetError):
        tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out"), module=tiny_job.NoiseModule(budget=3))
    said = caplog.messages[-1]
    assert said.startswith(f"1 shards could not be made:\n  {tmp_path}/in/a.tar: it is empty (0 bytes)\n")
    assert "1 of 1 processes failed:\n  rank 0: BudgetError: " in said


def test_skipped_samples_are_counted_and_named(make_shard: MakeShard, tmp_path: Path) -> None:
    files = tiny_shards.sample_files(3) | {"bad.jpg": b"no image", "bad.cls": b"1"}
    writer = tiny_job.generate(str(make_shard("in/s.tar", files)), str(tmp_path / "out"))
    sidecar = json.loads((tmp_path / "out/s.json").read_text())
    assert (sidecar["samples_expected"], sidecar["samples_written"]) == (4, 3)
    assert sidecar["skipped"][0]["key"] == "bad"
    assert (writer.summary.images, writer.summary.skipped) == (3, 1)


def test_the_output_may_be_remote(two_shards: str, tmp_path: Path) -> None:
    url = "memory:///remote-out"
    tiny_job.generate(two_shards, url)
    tiny_job.generate(two_shards, str(tmp_path / "local"))
    memory = fsspec.filesystem("memory")
    for name, content in contents(tmp_path / "local").items():
        assert memory.cat_file(f"/remote-out/{name}") == content
    assert finished(url) == {"shard-000000", "shard-000001"}


def test_other_bytes_without_a_sidecar_hold_up_their_shard_alone(two_shards: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/shard-000000.tar").write_bytes(b"left over")
    with pytest.raises(GenerationFailedError, match=r"shard-000000\.tar exists with other bytes .* move it to another"):
        tiny_job.generate(two_shards, str(tmp_path / "out"))
    assert (tmp_path / "out/shard-000001.json").exists()
    assert (tmp_path / "out/shard-000000.tar").read_bytes() == b"left over"


@pytest.mark.parametrize("place", ["taken", "/proc/none"])
def test_an_unwritable_output_is_refused_before_any_work(place: str, two_shards: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="cannot write into the folder"):
        tiny_job.generate(two_shards, str(tmp_path / place), module=tiny_job.NoiseModule(kill_at=0))


def test_tarfile_reads_the_output_in_the_input_order(two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    with tarfile.open(tmp_path / "out/shard-000000.tar") as tar:
        keys = [member.name.split(".")[0] for member in tar]
    assert list(dict.fromkeys(keys)) == [f"{number:04d}" for number in range(7)]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 4"):
        ShardWriter("out", encode_threads=0)
