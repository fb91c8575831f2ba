"""From image folders to shards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import webdataset as wds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

import lit_adv
from lit_adv.cli.pack import pack as command
from lit_adv.packing import is_image_folder, pack
from lit_adv.shards.job import ConfigMismatchError
from tests import tiny_shards


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Three classes; names that would collide or mislead as keys."""
    for number, name in enumerate(
        ("n02/b.v2.JPEG", "n02/b_v2.png", "n01/a.jpg", "n01/deep/a.jpg", "n10/über.webp", f"n10/{'x' * 150}.jpg")
    ):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny_shards.image_file(number))
    (tmp_path / "images/n01/notes.txt").touch()
    return tmp_path / "images"


def read(shards: list[str]) -> list[dict[str, bytes]]:
    return list(wds.WebDataset(shards, shardshuffle=False))


def test_class_folders_give_torchvision_labels_and_untouched_bytes(class_folders: Path, tmp_path: Path) -> None:
    shards = pack(str(class_folders), str(tmp_path / "out"), samples_per_shard=4)
    assert [Path(shard).name for shard in shards] == ["images-000000.tar", "images-000001.tar"]
    expected = [(Path(path).read_bytes(), label) for path, label in ImageFolder(class_folders).samples]
    found = [
        (next(sample[ext] for ext in ("jpg", "jpeg", "png", "webp") if ext in sample), int(sample["cls"]))
        for sample in read(shards)
    ]
    assert sorted(found) == sorted(expected)


def test_keys_are_plain_and_unique(class_folders: Path, tmp_path: Path) -> None:
    keys = [str(sample["__key__"]) for sample in read(pack(str(class_folders), str(tmp_path / "out")))]
    assert len(set(keys)) == 6
    for key in keys:
        assert key.isascii()
        assert len(key) <= 90
        assert not set("./ ") & set(key)
    assert keys[0] == "n01_a"


def test_shards_are_not_packed_among_the_images_where_they_would_be_a_class(
    class_folders: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(class_folders)
    for place in (class_folders, class_folders / "shards", tmp_path / "link/n01/shards"):
        for run in (lambda place=place: pack(str(class_folders), str(place)),
                    lambda place=place: command([str(class_folders), str(place)])):  # fmt: skip
            with pytest.raises(ValueError, match=f"{place} lies in the folder of images {class_folders}"):
                run()
    assert pack(str(class_folders), str(tmp_path / "images-shards"))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(1, 7))
def test_packing_again_changes_nothing(size: int, class_folders: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out-{size}"
    shards = pack(str(class_folders), str(out), samples_per_shard=size)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in map(Path, shards)}
    Path(shards[0]).unlink()
    assert pack(str(class_folders), str(out), samples_per_shard=size) == shards
    assert {path: path.read_bytes() for path in before} == {path: content for path, (content, _) in before.items()}
    assert all(path.stat().st_mtime_ns == time for path, (_, time) in list(before.items())[1:])
    assert len(read(shards)) == 6


def test_other_images_in_the_same_destination_are_refused(class_folders: Path, tmp_path: Path) -> None:
    pack(str(class_folders), str(tmp_path / "out"))
    (class_folders / "n01/new.jpg").write_bytes(tiny_shards.image_file())
    with pytest.raises(ConfigMismatchError, match="images: 6 there, 7 now"):
        pack(str(class_folders), str(tmp_path / "out"))


@pytest.mark.parametrize("header", ["", "file,label\n"])
def test_a_csv_gives_the_labels(header: str, tmp_path: Path) -> None:
    for name in ("x.jpg", "y.png"):
        (tmp_path / name).write_bytes(tiny_shards.image_file())
    (tmp_path / "labels.csv").write_text(f"{header}y.png,7\nx.jpg, 3\n\n")
    shards = pack(str(tmp_path), str(tmp_path / "out"), labels=str(tmp_path / "labels.csv"), prefix="set")
    assert [(s["__key__"], s["cls"]) for s in read(shards)] == [("y", b"7"), ("x", b"3")]
    assert Path(shards[0]).name == "set-000000.tar"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x.jpg,1\nmissing.jpg,2", r"line 2: there is no file .*missing\.jpg"),
        ("missing.jpg,2", r"line 1: there is no file .*missing\.jpg"),
        ("x.jpg,cat", "line 1: the label 'cat' of x.jpg is not a class index"),
        ("x.jpg,1.5", "line 1: the label '1.5'"),
        ("x.jpg,-1", "line 1: the label '-1'"),
        ("x.jpg", "line 1: need a file name and a label"),
        ("labels.csv,1", r"labels\.csv is not a jpg"),
        ("x.jpg,1\nx.jpg,1", r"x\.jpg is labeled twice"),
        ("file,label", r"labels\.csv names no images"),
        ("", r"labels\.csv names no images"),
    ],
)
def test_a_bad_csv_is_refused_with_file_line_and_reason(table: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(tiny_shards.image_file())
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        pack(str(tmp_path), str(tmp_path / "out"), labels=str(tmp_path / "labels.csv"))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in/empty").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no images in folders of .*--labels"):
        pack(str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        pack(str(tmp_path / "none"), str(tmp_path / "out"))


def test_a_hidden_folder_is_no_class(class_folders: Path, tmp_path: Path) -> None:
    before = [sample["cls"] for sample in read(pack(str(class_folders), str(tmp_path / "before")))]
    (class_folders / ".ipynb_checkpoints").mkdir()
    assert [sample["cls"] for sample in read(pack(str(class_folders), str(tmp_path / "after")))] == before


def test_a_class_folder_without_images_is_named(class_folders: Path, tmp_path: Path) -> None:
    (class_folders / "n00").mkdir()
    with pytest.raises(FileNotFoundError, match=r"class folders of .* without images: n00"):
        pack(str(class_folders), str(tmp_path / "out"))


def test_a_folder_of_class_folders_is_recognized(class_folders: Path, two_shards: str) -> None:
    assert is_image_folder(str(class_folders))
    assert not is_image_folder(str(Path(two_shards).parent))
    assert not is_image_folder(str(class_folders / "n02"))
    assert not is_image_folder("memory:///images")
    (class_folders / "n02/labels.csv").write_text("b_v2.png,3\n")
    assert is_image_folder(str(class_folders / "n02"))


def test_what_a_system_left_makes_no_image_folder(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/._a.jpg").write_bytes(tiny_shards.image_file())
    assert not is_image_folder(str(tmp_path))


def test_the_command_packs(class_folders: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "lit_adv",
        "pack",
        str(class_folders),
        str(tmp_path / "out"),
        "--samples-per-shard",
        "2",
    ]
    root = Path(lit_adv.__file__).parents[1]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
    )
    assert "\n3 shards: " in done.stdout
    assert len(list((tmp_path / "out").glob("*.tar"))) == 3
