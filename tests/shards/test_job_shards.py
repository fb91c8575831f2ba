"""Shards may join and leave a job, and what is made stays made."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lit_adv.callbacks.writer import GenerationFailedError
from lit_adv.cli.verify import verify as main
from lit_adv.shards.attacked import open_attacked
from lit_adv.shards.job import ConfigMismatchError, canonical_json, digest
from lit_adv.shards.verify import verify
from tests import tiny_job
from tests.tiny_shards import MakeShard

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")


@pytest.fixture
def shards(make_shard: MakeShard) -> list[str]:
    """Four shards of two images."""
    return [str(make_shard(f"in/s{number}.tar", 2, first=10 * number)) for number in range(4)]


def stamps(out: Path) -> dict[str, int]:
    """Return when each shard and sidecar was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("s*.*")}


def in_manifest(out: Path) -> list[str]:
    return [shard["shard"] for shard in json.loads((out / "manifest.json").read_text())["shards"]]


def test_shards_are_added_and_left_out_without_making_the_others_again(
    shards: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    tiny_job.generate(shards[:2], str(out))
    first = stamps(out)
    caplog.clear()
    tiny_job.generate(shards[:3], str(out))
    assert "1 shards are new in the job, for example s2" in caplog.text
    assert first.items() < stamps(out).items()
    assert in_manifest(out) == ["s0.tar", "s1.tar", "s2.tar"]
    three = stamps(out)
    assert tiny_job.generate(shards[1:3], str(out)).summary.images == 4
    assert "1 shards are left out of the job, for example s0; what is made of them stays here" in caplog.text
    assert stamps(out) == three
    assert in_manifest(out) == ["s1.tar", "s2.tar"]
    assert [*open_attacked(str(out)).shards] == ["s1.tar", "s2.tar"]


def test_a_job_over_more_shards_has_the_bytes_of_one_over_all(shards: list[str], tmp_path: Path) -> None:
    for count in (1, 3, 4):
        tiny_job.generate(shards[:count], str(tmp_path / "grown"))
    tiny_job.generate(shards, str(tmp_path / "whole"))
    names = ["s0.tar", "s3.tar", "job.json", "_shards.json", "manifest.json", "_info.json"]
    assert all((tmp_path / "grown" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)


def test_a_shard_that_cannot_be_made_is_left_out(shards: list[str], tmp_path: Path) -> None:
    Path(shards[1]).write_bytes(b"no archive")
    with pytest.raises(GenerationFailedError, match=r"s1\.tar: it is cut off or not a tar"):
        tiny_job.generate(shards, str(tmp_path / "out"))
    made = stamps(tmp_path / "out")
    del shards[1]
    assert tiny_job.generate(shards, str(tmp_path / "out")).summary.images == 6
    assert stamps(tmp_path / "out") == made
    assert verify(str(tmp_path / "out"), shards).complete


def test_an_empty_shard_completes_a_job(shards: list[str], make_shard: MakeShard, tmp_path: Path) -> None:
    empty = str(make_shard("in/empty.tar", {}))
    assert tiny_job.generate([*shards, empty], str(tmp_path / "out")).summary.images == 8
    sidecar = json.loads((tmp_path / "out/empty.json").read_text())
    assert [sidecar[name] for name in ("samples_expected", "samples_written", "skipped")] == [0, 0, []]
    assert in_manifest(tmp_path / "out") == ["empty.tar", "s0.tar", "s1.tar", "s2.tar", "s3.tar"]
    assert verify(str(tmp_path / "out"), [*shards, empty]).complete


def test_totals_of_a_former_list_do_not_stand_for_the_new_one(shards: list[str], tmp_path: Path) -> None:
    tiny_job.generate(shards[:2], str(tmp_path / "out"))
    tiny_job.generate(shards, str(tmp_path / "out"), job="0/2")  # makes s2
    assert not (tmp_path / "out/manifest.json").exists()
    with pytest.raises(FileNotFoundError, match="3 of 4 shards are done"):
        open_attacked(str(tmp_path / "out"))
    report = verify(str(tmp_path / "out"))
    assert [fault.name for fault in report.missing] == ["s3"]
    assert report.faults == []


def test_verify_tells_left_out_shards_from_strays(
    shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tiny_job.generate(shards[:3], str(out))
    tiny_job.generate(shards[:2], str(out))
    shutil.copy(shards[3], out / "s3.tar")
    assert main([str(out), "--repair"]) == 1
    said = capsys.readouterr().out
    assert "s3.tar: it is none of the job's files" in said
    assert "1 shards are made but left out of the job, for example s2" in said
    (out / "s3.tar").unlink()
    assert main([str(out)]) == 0


def make_old(out: Path) -> None:
    """Turn a folder into one of the versions that kept the list of shards among the settings."""
    (out / "_shards.json").unlink()
    config = json.loads((out / "job.json").read_text())
    config["data"]["shards"] = ["s0", "s1", "s2"]
    (out / "job.json").write_bytes(canonical_json(config))
    for path in out.glob("s?.json"):
        sidecar = json.loads(path.read_text()) | {"fingerprint": digest(config)}
        path.write_bytes(canonical_json(sidecar))
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_bytes(canonical_json(manifest | {"config": config, "fingerprint": digest(config)}))


def test_a_folder_of_an_older_version_is_verified_completed_and_extended(shards: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiny_job.generate(shards[:3], str(out))
    make_old(out)
    assert verify(str(out), shards[:3]).complete
    (out / "s1.json").unlink()
    record, kept = (out / "job.json").read_bytes(), stamps(out)
    assert tiny_job.generate(shards[:3], str(out)).summary.images == 6
    assert tiny_job.generate(shards, str(out)).summary.images == 8
    assert (out / "job.json").read_bytes() == record
    assert kept.items() < stamps(out).items()
    assert verify(str(out), shards).complete
    with pytest.raises(ConfigMismatchError, match=r"data\.batch_size: 3 there, 2 now") as error:
        tiny_job.generate(shards, str(out), batch_size=2)
    assert "data.shards" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'["../x"]', b"\xff", b"[" * 100_000])
def test_a_list_that_cannot_be_used_is_a_fault_that_a_run_mends(
    content: bytes, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tiny_job.generate(shards, str(out))
    made = stamps(out)
    (out / "_shards.json").write_bytes(content)
    assert main([str(out), "--repair"]) == 1
    assert re.search(r"_shards\.json: it cannot be used", capsys.readouterr().out)
    assert stamps(out) == made
    assert main([str(out)]) == 1
    assert "_shards.json: it is missing" in capsys.readouterr().out
    tiny_job.generate(shards, str(out))
    assert stamps(out) == made
    assert main([str(out)]) == 0
