"""A job's folder tells how far the job is: while it runs, after a failure, and on storage that has no files."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lit_adv.callbacks.writer import GenerationFailedError
from lit_adv.shards import storage
from lit_adv.shards.failures import read_failures, record_failure
from lit_adv.shards.job_status import JobStatus, read_status
from lit_adv.shards.verify import verify
from tests import tiny_job, tiny_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``in`` has a good shard, one with a bad sample and one that is cut off; ``out`` has what came of them."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "in").mkdir()
    for number in range(3):
        files = tiny_shards.sample_files(4, first=50 * number)
        if number == 1:
            files |= {"bad.jpg": b"no image", "bad.cls": b"1"}
        (folder / f"in/s{number}.tar").write_bytes(tiny_shards.tar_bytes(files))
    whole = (folder / "in/s2.tar").read_bytes()
    (folder / "in/s2.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GenerationFailedError):
        tiny_job.generate(str(folder / "in"), str(folder / "out"))
    (folder / "whole.tar").write_bytes(whole)
    return folder


def test_what_is_done_failed_and_skipped_is_counted(folder: Path) -> None:
    status = read_status(str(folder / "out"))
    sidecars = [json.loads((folder / f"out/s{number}.json").read_text()) for number in range(2)]
    assert (status.shards, [shard.name for shard in status.done], status.missing) == (3, ["s0", "s1"], [])
    assert status.totals.images == 8 == sum(shard.images for shard in status.done)
    assert status.totals.fooled == sum(sidecar["fooled"] for sidecar in sidecars)
    assert status.totals.clean_accuracy == 1.0
    [skipped] = status.skipped.values()
    assert (skipped.samples, skipped.example) == (1, "bad")
    assert list(status.failed) == ["s2"]
    [failure] = status.failures.values()
    assert failure.samples == 1
    assert status.failed["s2"].startswith("it is cut off")


def test_a_shard_that_is_not_there_yet_is_missing(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "out", tmp_path / "out")
    (tmp_path / "out/s1.json").unlink()  # without its sidecar it is not done
    status = read_status(str(tmp_path / "out"))
    assert ([shard.name for shard in status.done], status.missing) == (["s0"], ["s1"])


def test_the_speed_is_that_of_the_time_in_which_the_images_came(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    for number, ended in enumerate((1_000_100, 1_000_200)):
        sidecar = json.loads((out / f"s{number}.json").read_text())
        (out / f"s{number}.json").write_text(json.dumps(sidecar | {"seconds_total": 100.0}))
        os.utime(out / f"s{number}.json", (ended, ended))
    status = read_status(str(out))
    assert [shard.ended for shard in status.done] == [1_000_100, 1_000_200]
    assert [part.until for part in status.speeds][-1] == pytest.approx(200)
    assert [part.images_per_second for part in status.speeds] == pytest.approx([0.04] * 40)
    assert status.speed == pytest.approx(0.04)
    assert status.seconds_left == 0.0


def look_at(folder: Path, out: Path, ends: Sequence[float], seconds: float = 100.0, missing: int = 0) -> JobStatus:
    """Return the status of a job whose shards have 4 images each and ended at these times."""
    shutil.copytree(folder / "out", out)
    sidecar = json.loads((out / "s0.json").read_text())
    names = [f"s{number:03d}" for number in range(len(ends) + missing)]
    (out / "_shards.json").write_text(json.dumps(names))
    for name, ended in zip(names, ends, strict=False):
        (out / f"{name}.tar").touch()
        (out / f"{name}.json").write_text(json.dumps(sidecar | {"seconds_total": seconds}))
        os.utime(out / f"{name}.json", (ended, ended))
    return read_status(str(out))


def test_a_pause_changes_neither_the_speed_nor_the_time_left(folder: Path, tmp_path: Path) -> None:
    ends = [1_000_000 + 100 * number for number in range(10)]
    paused = [*ends, *(end + 86400 for end in ends[-3:])]
    status = look_at(folder, tmp_path / "out", paused, missing=5)
    assert len(status.done) == 13
    assert status.speed == pytest.approx(0.04)
    assert status.seconds_left == pytest.approx(500)


def test_the_speed_is_that_of_all_processes_together(folder: Path, tmp_path: Path) -> None:
    ends = [1_000_000 + 25 * number for number in range(80)]  # four at a time
    assert look_at(folder, tmp_path / "out", ends).speed == pytest.approx(0.16, rel=0.07)


def test_the_speed_of_a_copy_with_new_times_is_not_known(folder: Path, tmp_path: Path) -> None:
    status = look_at(folder, tmp_path / "out", [1_000_000 + 0.01 * number for number in range(20)], missing=1)
    assert (status.speed, status.speeds, status.seconds_left) == (None, [], None)


def test_a_failed_shard_that_is_made_after_all_leaves_no_trace(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "job")
    out = tmp_path / "job/out"
    assert verify(str(out)).faults == []
    shutil.copy(folder / "whole.tar", tmp_path / "job/in/s2.tar")
    tiny_job.generate(str(tmp_path / "job/in"), str(out))
    status = read_status(str(out))
    assert (len(status.done), status.failed) == (3, {})
    assert [path.name for path in out.iterdir() if path.name.startswith("_failed")] == []
    assert verify(str(out)).complete


def test_any_storage_that_lists_times_will_do(folder: Path) -> None:
    memory = MemoryFileSystem()
    for path in (folder / "out").iterdir():
        memory.pipe(f"/status-test/{path.name}", path.read_bytes())
    try:
        remote = read_status("memory://status-test")
        local = read_status(str(folder / "out"))
        assert remote.totals == local.totals
        assert remote.failed == local.failed
        assert all(shard.ended is not None for shard in remote.done)
    finally:
        memory.rm("/status-test", recursive=True)


def test_times_are_read_however_a_listing_writes_them() -> None:
    moments = (1_700_000_000.0, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20+00:00")
    assert {storage._time({"mtime": moment}) for moment in moments} == {1_700_000_000.0}
    assert storage._time({"name": "a", "mtime": "yesterday"}) is None
    assert storage._time({"name": "a"}) is None


def test_a_damaged_record_of_a_failure_is_called_so(tmp_path: Path) -> None:
    record_failure(str(tmp_path), "s0", "cut off")
    (tmp_path / "_failed-s1.json").write_text("[")
    assert read_failures(str(tmp_path), ["s0", "s1", "s2"]) == {"s0": "cut off", "s1": "its record is damaged"}
