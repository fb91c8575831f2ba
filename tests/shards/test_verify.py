"""Whatever is wrong with an output folder is named, and what a resumed run can mend is removed on request."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_adv.callbacks.writer import GenerationFailedError
from lit_adv.cli.verify import verify as main
from lit_adv.errors import MendableError
from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.job import ConfigMismatchError, canonical_json
from lit_adv.shards.verify import verify
from tests import tiny_job, tiny_shards
from tests.escapes import writes_outside
from tests.mutations import mutations
from tests.tiny_shards import image_file

pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]

Rewrite = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job: its input in ``in``, its output in ``out``; the second shard has a sample that was skipped."""
    folder = tmp_path_factory.mktemp("pristine")
    (folder / "in").mkdir()
    (folder / "in/s0.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(3)))
    bad = {"bad.jpg": b"no image", "bad.cls": b"1"}
    (folder / "in/s1.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(2, first=50) | bad))
    tiny_job.generate(str(folder / "in"), str(folder / "out"))
    return folder


@pytest.fixture
def job(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the finished job, to be damaged."""
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    return tmp_path


def check(job: Path, *arguments: str) -> int:
    return main([str(job / "out"), *arguments])


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    path.write_bytes(canonical_json(json.loads(path.read_text()) | changes))


def forge(job: Path, name: str, rewrite: Rewrite) -> None:
    """Rewrite a shard's files and make its sidecar's checksums agree, as only a forger would."""
    path = job / f"out/{name}.tar"
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for member_name, content in rewrite(files).items():
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with path.open("rb") as file:
        edit(job / f"out/{name}.json", tar_bytes=path.stat().st_size, sha256=storage.sha256(file))


def test_a_finished_job_is_whole_and_agrees_with_its_source(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(job, "--source", str(job / "in")) == 0
    assert capsys.readouterr().out == "2 shards are whole, 0 missing, 0 faults\n"


def test_a_shard_of_skipped_samples_alone_is_whole(make_shard: Callable[..., Path]) -> None:
    shard = make_shard("in/s.tar", {"bad.jpg": b"no image", "bad.cls": b"1"})
    with pytest.raises(GenerationFailedError, match="not one adversarial image was made: all 1 samples were skipped"):
        tiny_job.generate(str(shard), str(shard.parents[1] / "out"))
    assert check(shard.parents[1], "--source", str(shard)) == 0


def test_a_job_without_clean_images_is_whole(two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"), output={"clean_images": False, "format": "png"})
    assert check(tmp_path, "--source", two_shards) == 0


@pytest.mark.parametrize("position", [600, 5000, -1500])
def test_a_changed_byte_of_a_shard_is_found(position: int, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = job / "out/s0.tar"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert check(job) == 1
    assert "s0: its SHA-256 is not that of its sidecar\n" in capsys.readouterr().out


def swap_images(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"0000.png": files["0001.png"]}


def lossy_image(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"0000.png": b"no image"}


def large_image(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"0000.png": image_file(size=(3000, 3000), image_format="PNG")}


def other_label(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"0000.cls": b"7"}


def no_label(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != "0000.cls"}


def fewer(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith("0000")}


def record(**changes: Any) -> Rewrite:
    def rewrite(files: dict[str, bytes]) -> dict[str, bytes]:
        return files | {"0000.json": canonical_json(json.loads(files["0000.json"]) | changes)}

    return rewrite


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        (swap_images, "image '0000': it is changed by"),
        (lossy_image, "image '0000': cannot decode its png"),
        (large_image, "image '0000': an image of 3000x3000 is larger than 256 pixels"),
        (other_label, "image '0000': its record has the label 0, its cls file b'7'"),
        (no_label, "image '0000': it has the files"),
        (fewer, "its sidecar says samples_written 3, its samples say 2"),
        (record(fooled="yes"), "image '0000': a value of its record has another type"),
        (record(prediction=0, fooled=True), "says fooled True and does not agree"),
        (record(linf=1), "image '0000': it is changed by 4 grey levels"),
        (record(key="../../etc/passwd"), "its record has the key '../../etc/passwd'"),
        (record(surprise=1), "its record cannot be used"),
        (record(source_shard="other.tar"), "its record names another source shard"),
        (record(l2=1e300), "it is changed by 4 grey levels"),
    ],
)
def test_a_forged_shard_is_found_although_its_checksum_agrees(
    rewrite: Rewrite, reason: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge(job, "s0", rewrite)
    assert check(job) == 1
    assert reason in capsys.readouterr().out


def test_a_change_beyond_the_budget_is_found_pixel_by_pixel(
    two_shards: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "out"), module=tiny_job.NoiseModule(budget=None))
    assert check(tmp_path) == 0
    config = json.loads((tmp_path / "out/job.json").read_text()) | {"budget": 3}
    (tmp_path / "out/job.json").write_bytes(canonical_json(config))
    assert check(tmp_path) == 1
    assert "it is changed by 4 grey levels, the budget is 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples_written": 2}, "expects 3 samples, but 2 were written and 0 skipped"),
        ({"pixels_sha256": "0" * 64}, "its sidecar says pixels_sha256 0000"),
        ({"fooled": 99}, "its sidecar says fooled 99"),
        ({"linf_mean": 0.5}, "its sidecar says linf_mean 0.5"),
        ({"shard": "../s0.tar"}, "its sidecar is that of another shard, '../s0.tar'"),
        ({"fingerprint": "0"}, "made with other settings"),
        ({"tar_bytes": -1}, "its tar_bytes is not of type int: '-1'"),
        ({"tar_bytes": True}, "its tar_bytes is not of type int"),
        ({"skipped": [["a", "b"]]}, "its skipped is not of type list"),
        ({"versions": None}, "its versions is not of type dict"),
        ({"more": 1}, "must be a JSON object with exactly the fields"),
    ],
)
def test_a_sidecar_that_does_not_tell_the_truth_is_found(
    changes: dict[str, Any], reason: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(job / "out/s0.json", **changes)
    assert check(job) == 1
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 100_000, b"\xff", b'{"shard": NaN}', b"9" * 5000])
@pytest.mark.parametrize("name", ["s0.json", "job.json", "manifest.json", "_info.json"])
def test_json_of_any_kind_is_a_fault_never_a_crash(content: bytes, name: str, job: Path) -> None:
    (job / "out" / name).write_bytes(content)
    assert check(job, "--repair") == 1
    assert not (job / "out" / name).exists()


def test_what_would_block_or_fill_the_memory_is_not_read(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job / "out/s0.json").unlink()
    os.mkfifo(job / "out/s0.json")
    (job / "out/s1.tar").unlink()
    os.mkfifo(job / "out/s1.tar")
    with (job / "out/manifest.json").open("r+b") as file:
        file.truncate(2**40)  # a terabyte, on paper
    assert check(job) == 1
    said = capsys.readouterr().out
    assert "s0.json is not a plain file" in said
    assert "s1.tar is not a plain file" in said


def test_a_manifest_is_held_to_the_sidecars(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((job / "out/manifest.json").read_text())
    manifest["totals"]["images"] += 1
    (job / "out/manifest.json").write_text(json.dumps(manifest))
    (job / "out/_info.json").unlink()
    assert check(job) == 1
    said = capsys.readouterr().out
    assert "manifest.json: it does not agree with the sidecars: totals.images: 6 there, 5 now" in said
    assert "_info.json: it has not been written" in said


def test_missing_and_unproven_shards_are_told_apart(job: Path) -> None:
    (job / "out/s0.json").unlink()
    for name in ("s1.tar", "s1.json", "manifest.json", "_info.json", "README.md"):
        (job / "out" / name).unlink()
    report = verify(str(job / "out"))
    assert (report.whole, report.faults) == ([], [])
    assert [(fault.name, fault.files) for fault in report.missing] == [("s0", ()), ("s1", ())]
    assert "it has no sidecar" in report.missing[0].reason
    assert "it has not been made" in report.missing[1].reason


def test_a_sidecar_without_its_shard_is_a_fault(job: Path) -> None:
    (job / "out/s0.tar").unlink()
    report = verify(str(job / "out"))
    assert report.faults[0].name == "s0"
    assert "No such file" in report.faults[0].reason


def test_stray_files_are_named_and_kept_and_what_a_killed_process_left_is_removed(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (job / "out/notes.txt").write_text("mine")
    (job / "out/s7.tar").write_text("not of this job")
    (job / "out/.s1.0123.otherhost.partial").write_text("half")
    with scratch.scratch_file(str(job / "out"), "s2") as alive:
        assert check(job, "--repair") == 1
        assert Path(alive.name).exists()
    said = capsys.readouterr().out
    for name in ("notes.txt", "s7.tar"):
        assert f"{name}: it is none of the job's files; move it away" in said
        assert (job / "out" / name).exists()
    assert ".s1.0123.otherhost.partial: a process that was killed left it unfinished" in said
    assert not (job / "out/.s1.0123.otherhost.partial").exists()


def test_a_record_of_other_settings_costs_no_shard(job: Path) -> None:
    edit(job / "out/job.json", precision="64-true")
    assert check(job, "--repair") == 1
    assert not (job / "out/job.json").exists()
    assert (job / "out/s0.tar").exists()
    assert (job / "out/s1.json").exists()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"0003.jpg": b"", "0003.cls": b"3"}, "its keys are not those of"),
        ({"0001.cls": b"9"}, "1 labels are not those of"),
    ],
)
def test_keys_and_labels_are_held_to_the_source(
    files: dict[str, bytes], reason: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (job / "in/s0.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(3) | files))
    assert check(job, "--source", str(job / "in")) == 1
    assert f"s0: {reason}" in capsys.readouterr().out


def test_a_source_of_another_size_is_a_fault_although_its_keys_and_labels_are_the_same(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = job / "in/s0.tar"
    size = source.stat().st_size
    source.write_bytes(source.read_bytes() + bytes(10240))
    assert check(job, "--source", str(job / "in")) == 1
    assert f"s0: {source} has {size + 10240} bytes, but {size} when it was attacked\n" in capsys.readouterr().out


def test_the_order_of_samples_is_held_to_the_source(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = dict(sorted(tiny_shards.sample_files(3).items(), reverse=True))
    (job / "in/s0.tar").write_bytes(tiny_shards.tar_bytes(files))
    assert check(job, "--source", str(job / "in")) == 1
    assert "s0: its samples are not in the order of" in capsys.readouterr().out


def test_a_source_that_cannot_be_read_costs_no_output(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job / "in/s0.tar").write_bytes(b"damaged")
    (job / "in/s2.tar").write_bytes(b"new")
    assert check(job, "--source", str(job / "in"), "--repair") == 1
    said = capsys.readouterr().out
    assert "s0: its source cannot be read" in said
    assert "_shards.json: its shards are not those of the source, for example 's2'" in said
    for name in ("s0.tar", "manifest.json"):
        assert (job / "out" / name).exists()


@pytest.mark.parametrize("changed", [("s0",), ("s0", "s1")])
def test_a_source_of_which_half_or_more_disagrees_is_another_jobs_and_costs_no_output(
    changed: tuple[str, ...], job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in (job / "out").iterdir()}
    for name in changed:
        (job / f"in/{name}.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(4, first=20)))
    assert check(job, "--source", str(job / "in"), "--repair") == 1
    said = capsys.readouterr().out
    assert f"source: {len(changed)} shards were not made from it as it is now" in said
    assert "s0: its keys are not those of" in said
    assert {path.name: path.read_bytes() for path in (job / "out").iterdir()} == before


def test_a_wrong_source_of_a_few_shards_is_judged_by_these(job: Path) -> None:
    (job / "other").mkdir()
    (job / "other/s0.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(4, first=20)))
    report = verify(str(job / "out"), str(job / "other"))
    assert (sorted(report.whole), report.removable) == (["s0", "s1"], [])


def test_the_few_shards_that_disagree_with_their_source_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        content = tiny_shards.tar_bytes(tiny_shards.sample_files(2, first=10 * number))
        (tmp_path / f"in/s{number}.tar").write_bytes(content)
    tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out"))
    files = tiny_shards.sample_files(2) | {"0001.cls": b"9"}
    (tmp_path / "in/s0.tar").write_bytes(tiny_shards.tar_bytes(files))
    assert check(tmp_path, "--source", str(tmp_path / "in"), "--repair") == 1
    assert not (tmp_path / "out/s0.tar").exists()
    assert (tmp_path / "out/s1.tar").exists()
    tiny_job.generate(str(tmp_path / "in"), str(tmp_path / "out"))
    assert check(tmp_path, "--source", str(tmp_path / "in")) == 0


def test_a_repaired_job_is_completed_by_running_it_again_with_the_same_bytes(job: Path, pristine: Path) -> None:
    forge(job, "s0", swap_images)
    (job / "out/s1.json").write_bytes(b"{")
    assert check(job, "--repair") == 1
    assert sorted(path.name for path in (job / "out").iterdir()) == ["_shards.json", "job.json", "s1.tar"]
    tiny_job.generate(str(job / "in"), str(job / "out"))
    assert check(job) == 0
    for name in ("s0.tar", "s1.tar"):
        assert (job / "out" / name).read_bytes() == (pristine / "out" / name).read_bytes()


def test_a_folder_that_is_no_output_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MendableError, match="none is empty or not there"):
        main([str(tmp_path / "none")])
    (tmp_path / "file").write_text("x")
    assert main([str(tmp_path)]) == 1
    assert "job.json: it is missing" in capsys.readouterr().out


def test_names_cannot_act_on_the_terminal(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job / "out/\x1b[2J.txt").write_text("")
    (job / os.fsdecode(b"out/\xff.txt")).write_text("")
    check(job)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[2J.txt: it is none of the job's files" in said


def test_a_remote_output_is_verified_and_repaired_the_same_way(two_shards: str) -> None:
    url = "memory:///verify-remote"
    tiny_job.generate(two_shards, url)
    assert main([url, "--source", two_shards]) == 0
    publish.replace(f"{url}/shard-000000.json", b"{}")
    assert main([url, "--repair"]) == 1
    assert storage.list_names(url) == {
        "job.json", "_shards.json", "shard-000000.tar", "shard-000001.tar", "shard-000001.json",
    }  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["s0.tar", "s0.json", "job.json", "manifest.json"]))
def test_no_mutation_of_any_file_escapes_or_crashes(data: st.DataObject, name: str, pristine: Path, job: Path) -> None:
    original = (pristine / "out" / name).read_bytes()
    mutated = data.draw(mutations(original))
    (job / "out" / name).write_bytes(mutated)
    before = sorted(path.name for path in job.rglob("*"))
    with writes_outside(job) as escapes:
        report = verify(str(job / "out"), str(job / "in"), threads=1)
    assert escapes == []
    (job / "out" / name).write_bytes(original)
    assert sorted(path.name for path in job.rglob("*")) == before
    if name == "s0.tar" and mutated != original:
        assert "s0" not in report.whole


def test_repair_removes_no_tar_that_no_sidecar_proves_to_be_the_jobs(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tars = {name: (job / f"in/{name}").read_bytes() for name in ("s0.tar", "s1.tar")}
    for name, content in tars.items():  # as if the output were the input
        (job / "out" / name).write_bytes(content)
    (job / "out/s0.json").unlink()
    edit(job / "out/s1.json", fingerprint="0" * 64)
    assert check(job, "--repair") == 1
    assert "s0: it has no sidecar, so nothing proves that it is whole, or this job's" in capsys.readouterr().out
    assert {name: (job / "out" / name).read_bytes() for name in tars} == tars
    with pytest.raises(ConfigMismatchError, match=r"made with other settings than job\.json records: s1\.tar\. Choose"):
        tiny_job.generate(str(job / "in"), str(job / "out"))
    (job / "out/s1.json").unlink()
    for name in tars:
        reason = rf"{name} exists with other bytes .* move it to another folder"
        with pytest.raises(GenerationFailedError, match=reason):
            tiny_job.generate(str(job / "in"), str(job / "out"))
    assert {name: (job / "out" / name).read_bytes() for name in tars} == tars


def test_a_shard_that_was_published_without_its_sidecar_is_proven_by_the_next_run(job: Path, pristine: Path) -> None:
    (job / "out/s0.json").unlink()
    tiny_job.generate(str(job / "in"), str(job / "out"))
    assert check(job) == 0
    assert (job / "out/s0.tar").read_bytes() == (pristine / "out/s0.tar").read_bytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clean_correct": 2}, "its sidecar says clean_correct 2, its samples say 3"),
        ({"clean_correct_fooled": 7}, "its sidecar says clean_correct_fooled 7, its samples say"),
        ({"unchanged": 1}, "its sidecar says unchanged 1, its samples say 0"),
        ({"not_finite": ["0000"]}, "its sidecar says not_finite of images that are changed or absent"),
        ({"not_finite": "0000"}, "its not_finite is not of type"),
    ],
)
def test_counts_that_are_not_those_of_the_samples_are_named(
    changes: dict[str, Any], reason: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(job / "out/s0.json", **changes)
    assert check(job) == 1
    assert reason in capsys.readouterr().out
