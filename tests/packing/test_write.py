"""The folder of packed shards: what is its own, what is a stranger's, and what a killed packing leaves."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from lit_adv.errors import MendableError
from lit_adv.packing import LabeledImage, pack_images, write
from lit_adv.shards.job import ConfigMismatchError
from tests.packing.tiny_folders import labels, make, pack

SHARD = "in-000001.tar"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "in", *(f"{number % 2}/{number}.jpg" for number in range(5)))


def pack_two_a_shard(folder: Path, out: Path) -> None:
    pack(folder, out, "--samples-per-shard", "2")


def test_the_record_proves_every_shard(folder: Path, tmp_path: Path) -> None:
    pack_two_a_shard(folder, tmp_path / "out")
    record = json.loads((tmp_path / "out/pack.json").read_text())
    assert record["images"] == 5
    assert record["prefix"] == "in"
    assert record["samples_per_shard"] == 2
    contents = {path.name: path.read_bytes() for path in sorted((tmp_path / "out").glob("*.tar"))}
    assert record["shards"] == {
        name: {"bytes": len(content), "sha256": sha256(content).hexdigest()} for name, content in contents.items()
    }
    assert len(contents) == 3


def test_a_strangers_tar_under_a_shards_name_is_refused_by_name_before_any_is_made(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / SHARD).write_bytes(b"a stranger's")
    with pytest.raises(FileExistsError, match=rf"{SHARD} was not packed from these images; move it away"):
        pack_two_a_shard(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == [SHARD]
    assert (tmp_path / "out" / SHARD).read_bytes() == b"a stranger's"
    (tmp_path / "out" / SHARD).unlink()
    pack_two_a_shard(folder, tmp_path / "out")
    assert len(labels(tmp_path / "out")) == 5


def test_a_stranger_in_place_of_a_packed_shard_and_one_behind_the_last_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    pack_two_a_shard(folder, tmp_path / "out")
    content = (tmp_path / "out" / SHARD).read_bytes()
    (tmp_path / "out" / SHARD).write_bytes(content + bytes(512))
    with pytest.raises(FileExistsError, match=SHARD):
        pack_two_a_shard(folder, tmp_path / "out")
    (tmp_path / "out" / SHARD).write_bytes(content)
    (tmp_path / "out/in-000003.tar").write_bytes(content)
    with pytest.raises(FileExistsError, match=r"in-000003\.tar was not packed from these images"):
        pack_two_a_shard(folder, tmp_path / "out")


def test_a_packing_that_was_killed_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_two_a_shard(folder, tmp_path / "whole")
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    # Killed between publishing a shard and recording it.
    record = {**json.loads(expected["pack.json"]), "shards": {}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out/pack.json").write_text(json.dumps(record))
    (tmp_path / "out" / SHARD).write_bytes(expected[SHARD])
    pack_two_a_shard(folder, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == expected

    monkeypatch.setattr(write, "_write_shard", None)  # nothing is made again
    pack_two_a_shard(folder, tmp_path / "out")


def test_images_that_changed_meanwhile_are_not_mixed_with_what_is_packed(folder: Path, tmp_path: Path) -> None:
    pack_two_a_shard(folder, tmp_path / "out")
    (tmp_path / "out/in-000000.tar").unlink()
    image = folder / "0/0.jpg"
    image.write_bytes(bytes(reversed(image.read_bytes())))  # of the same size
    with pytest.raises(
        ConfigMismatchError, match=r"images of in-000000\.tar are not those that it was first made from"
    ):
        pack_two_a_shard(folder, tmp_path / "out")
    assert not (tmp_path / "out/in-000000.tar").exists()


def test_a_record_that_is_none_is_named(folder: Path, tmp_path: Path) -> None:
    for content in ("", "[1]", '{"shards": 3}', '{"shards": {"a.tar": {"size": 3}}}'):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/pack.json").write_text(content)
        with pytest.raises(ValueError, match=r"out/pack\.json is no record of a packing"):
            pack_two_a_shard(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples-per-shard", "0"], "samples_per_shard must lie in"),
        (["--samples-per-shard", "100000"], "samples_per_shard must lie in"),
        (["--prefix", "a/b"], "prefix must be a plain name"),
        (["--prefix", ".a"], "prefix must be a plain name"),
    ],
)
def test_settings_out_of_range_are_refused(arguments: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        pack(folder, tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_an_image_that_no_reader_would_take_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "MAX_MEMBER_BYTES", 10)
    with pytest.raises(ValueError, match=r"0\.jpg has \d+ bytes; an image may have 10"):
        pack(folder, tmp_path / "out")


def test_a_destination_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match=r"cannot write into the folder .*/out"):
        pack(folder, tmp_path / "out")


def test_a_target_travels_in_the_samples_json(folder: Path, tmp_path: Path) -> None:
    images = [LabeledImage(folder / "0/0.jpg", "a", 3, 9), LabeledImage(folder / "0/2.jpg", "b", 4)]
    pack_images(images, str(tmp_path / "out"), 10, "set")
    with pytest.raises(MendableError, match="images_sha256"):
        pack_images([images[0]._replace(target=8), images[1]], str(tmp_path / "out"), 10, "set")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone", "out"], "error: there is no folder gone"),
        (["in", "out", "--labels", "gone.csv"], "error: [Errno 2] No such file or directory: 'gone.csv'"),
        (["in", "out", "--samples-per-shard", "0"], "error: samples_per_shard must lie in [1, "),
        (["empty", "out"], "error: no images in folders of empty; it must hold one folder a class, or give a CSV file"),
        (["in", "in/0/0.jpg"], "error: in/0/0.jpg lies in the folder of images in; choose one outside of it"),
    ],
)
def test_what_a_user_can_mend_is_said_in_two_lines(
    arguments: list[str], said: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    root = Path(write.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "lit_adv", "pack", *arguments],
        cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 2
