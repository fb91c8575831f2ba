"""Which shards a process makes."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from lit_adv.data.generation import GenerationDataModule
from lit_adv.shards.job import ConfigMismatchError
from lit_adv.shards.listing import shard_name
from lit_adv.shards.sidecar import finished
from tests import tiny_job, tiny_shards
from tests.packing.tiny_folders import make, samples

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")


class Rank:
    """Stands in for a Trainer's view of one rank among several."""

    def __init__(self, rank: int, world_size: int, missing: list[str] | None = None) -> None:
        self.global_rank, self.world_size, self.is_global_zero = rank, world_size, rank == 0
        self.strategy = self
        self.root_device = type("Device", (), {"type": "cpu"})
        self.missing = missing

    def broadcast(self, missing: list[str]) -> list[str]:
        """Return what rank 0 would send."""
        return missing if self.missing is None else self.missing


def test_ranks_divide_what_is_missing_without_overlap(make_shard: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(5):
        make_shard(f"in/s{number}.tar", 2, first=10 * number)
    tiny_job.generate(str(tmp_path / "in/s1.tar"), str(tmp_path / "out"))
    (tmp_path / "out/s2.tar").touch()  # it has no sidecar: it is not done
    data = GenerationDataModule(str(tmp_path / "in"), image_size=16, output=str(tmp_path / "out"))
    data.setup("predict")
    missing = [shard for shard in data.plan if shard_name(shard) != "s1"]
    seen = []
    for rank in range(3):
        data.trainer = Rank(rank, 3, None if rank == 0 else missing)  # type: ignore[assignment]
        seen.append([shard_name(batch.shard) for batch in data.predict_dataloader()])
    assert seen == [["s0", "s4"], ["s2"], ["s3"]]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_jobs_divide_the_shards_whenever_they_start(
    count: int, make_shard: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(4):
        make_shard(f"in/s{number}.tar", 2, first=10 * number)
    tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "alone"))
    made: list[set[str]] = []
    for index in reversed(range(count)):
        before = finished(str(tmp_path / "out"))
        writer = tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out"), job=f"{index}/{count}")
        made.append(finished(str(tmp_path / "out")) - before)
        assert (writer.summary is None) == (len(finished(str(tmp_path / "out"))) < 4)
    assert max(map(len, made)) - min(map(len, made)) <= 1
    for name in ("s0.tar", "s1.tar", "s2.tar", "s3.tar", "manifest.json", "job.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_other_data_under_the_same_names_is_refused_by_the_shards_that_differ(
    two_shards: str, make_shard: Callable[..., Path], tmp_path: Path
) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    sizes = [(tmp_path / f"in/shard-00000{number}.tar").stat().st_size for number in (0, 1)]
    other = make_shard("in/shard-000001.tar", 40)
    message = f"{other}: {sizes[1]} bytes when it was attacked, {other.stat().st_size} now"
    with pytest.raises(ConfigMismatchError, match=re.escape(message)) as error:
        tiny_job.generate(two_shards, str(tmp_path / "out"))
    assert "shard-000000" not in str(error.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == made
    for name in ("shard-000001.tar", "shard-000001.json"):
        (tmp_path / "out" / name).unlink()
    assert tiny_job.generate(two_shards, str(tmp_path / "out")).summary.images == 47


def test_finished_shards_of_other_settings_are_refused_before_anything_is_attacked(
    two_shards: str, tmp_path: Path
) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    for name in ("job.json", "shard-000001.tar", "shard-000001.json"):
        (tmp_path / "out" / name).unlink()
    message = r"1 of 1 finished shards in .* were made with other settings than job\.json records: shard-000000\.tar\. "
    with pytest.raises(ConfigMismatchError, match=message):
        tiny_job.generate(two_shards, str(tmp_path / "out"), module=tiny_job.NoiseModule(noise=2, kill_at=0))
    assert finished(str(tmp_path / "out")) == {"shard-000000"}


def test_data_may_be_moved_and_reached_by_links(two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    (tmp_path / "in").rename(tmp_path / "moved")
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "moved").iterdir():
        (tmp_path / "in" / path.name).symlink_to(path)
    assert tiny_job.generate(two_shards, str(tmp_path / "out")).summary.images == 11


def test_a_job_run_again_makes_nothing_twice(two_shards: str, tmp_path: Path) -> None:
    for _ in range(2):
        tiny_job.generate(two_shards, str(tmp_path / "out"), job="1/2")
    assert finished(str(tmp_path / "out")) == {"shard-000001"}


@pytest.mark.parametrize("job", ["2/2", "-1/2", "0", "0/0", "a/b", "1/2/3"])
def test_a_job_that_is_none_is_refused(job: str, two_shards: str) -> None:
    with pytest.raises(ValueError, match=f"job must be INDEX/COUNT .* got '{job}'"):
        GenerationDataModule(two_shards, job=job)


def test_a_folder_of_images_is_packed_first(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / f"images/class{number % 2}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny_shards.image_file(number))
    writer = tiny_job.generate(str(tmp_path / "images"), str(tmp_path / "out"))
    assert writer.summary.images == 4
    assert (tmp_path / "images-shards/images-000000.tar").exists()


def test_an_output_among_the_images_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    images = make(tmp_path / "images", "cat/a.jpg", "dog/b.jpg")
    with pytest.raises(ValueError, match=f"{images}/adv lies in the folder of images {images}"):
        tiny_job.generate(str(images), str(images / "adv"))
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert sorted(path.name for path in images.iterdir()) == ["cat", "dog"]


def test_images_may_be_named_by_a_url(tmp_path: Path) -> None:
    images = make(tmp_path / "images", "cat/a.jpg", "dog/b.jpg")
    assert tiny_job.generate(f"file://{images}", str(tmp_path / "out")).summary.images == 2


def test_a_folder_with_a_table_is_packed_first_and_its_targets_are_aimed_at(tmp_path: Path) -> None:
    (tmp_path / "data/images").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"data/images/{number}.png").write_bytes(tiny_shards.image_file(number, (16, 16), "PNG"))
    (tmp_path / "data/labels.csv").write_text("filename,label,targeted_label\n0.png,5,1\n1.png,0,2\n2.png,7,3\n")
    writer = tiny_job.generate(str(tmp_path / "data"), str(tmp_path / "out"), target_field="target_label")
    assert writer.summary.images == 3
    made = {key: json.loads(files["json"]) for key, files in samples(tmp_path / "out").items()}
    assert {key: (record["label"], record["target"]) for key, record in made.items()} == {
        "0": (5, 1), "1": (0, 2), "2": (7, 3)
    }  # fmt: skip


def test_a_tree_of_splits_is_refused_before_anything_is_attacked(tmp_path: Path) -> None:
    for name in ("train/cat/0.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/dog/3.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(tiny_shards.image_file())
    with pytest.raises(ValueError, match=r"holds splits \(train, val\), not classes"):
        tiny_job.generate(str(tmp_path / "images"), str(tmp_path / "out"))


def test_the_fingerprint_holds_what_changes_bytes_and_no_more(two_shards: str) -> None:
    def fingerprint(**settings: object) -> dict[str, object]:
        data = GenerationDataModule(two_shards, **settings)  # type: ignore[arg-type]
        data.setup("predict")
        return data.fingerprint

    base = fingerprint()
    assert base == {
        "batch_size": 16, "image_size": 224, "resize": 256, "interpolation": "bicubic", "keep_size": True,
        "num_classes": 1000, "label_field": "cls", "target_field": None,
    }  # fmt: skip
    assert fingerprint(num_workers=2) == base
    changes = {
        "batch_size": 8, "image_size": 200, "resize": 300, "interpolation": "bilinear", "keep_size": False,
        "num_classes": 10, "image_field": "png",
    }  # fmt: skip
    for name, value in changes.items():
        assert fingerprint(**{name: value}) != base


def test_nothing_missing_is_said_and_yields_no_batch(two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"))
    data = GenerationDataModule(two_shards, output=str(tmp_path / "out"))
    data.setup("predict")
    data.trainer = Trainer(accelerator="cpu", logger=False)
    assert list(data.predict_dataloader()) == []


def test_settings_out_of_range_are_refused(two_shards: str) -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        GenerationDataModule(two_shards, batch_size=0)
    with pytest.raises(ValueError, match="image_size must lie in"):
        GenerationDataModule(two_shards, image_size=224, resize=200)
