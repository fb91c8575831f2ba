"""From shards to PNG files and a CSV of labels, and back."""

import csv
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from lit_adv.cli.main import run
from lit_adv.errors import MendableError
from lit_adv.shards import unpack as unpack_module
from tests import tiny_job
from tests.escapes import writes_outside
from tests.shards.pack.tiny_folders import labels, samples, targets
from tests.tiny_shards import image_file, sample_files


def unpack(shards: Path | str, folder: Path, *arguments: str) -> list[list[str]]:
    """Run ``lit-adv unpack`` and return the table's rows."""
    assert run(["unpack", str(shards), str(folder), *arguments]) == 0
    return rows(folder)


def rows(folder: Path) -> list[list[str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.reader(file))


def pixels(content: bytes | Path) -> np.ndarray:
    with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def attacked(two_shards: str, tmp_path: Path) -> Path:
    """A finished output folder of 11 images, with their clean ones."""
    tiny_job.generate(two_shards, str(tmp_path / "attacked"))
    return tmp_path / "attacked"


def test_pixels_and_labels_are_those_of_the_shards(attacked: Path, tmp_path: Path) -> None:
    [header, *table] = unpack(attacked, tmp_path / "out")
    stored = samples(attacked)
    assert header == ["filename", "label"]
    assert table == [[f"{key}.png", files["cls"].decode()] for key, files in stored.items()]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "labels.csv"]
    assert len(list((tmp_path / "out/images").iterdir())) == 11
    for key, files in stored.items():
        image = next(files[name] for name in ("png", "webp") if name in files)
        made = tmp_path / f"out/images/{key}.png"
        assert np.array_equal(pixels(made), pixels(image))
        assert Image.open(made).format == "PNG"


def test_clean_images_lie_in_a_folder_beside_under_the_same_names(attacked: Path, tmp_path: Path) -> None:
    unpack(attacked, tmp_path / "out", "--clean")
    names = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert sorted(path.name for path in (tmp_path / "out/clean").iterdir()) == names
    for key, files in samples(attacked).items():
        clean = next(files[name] for name in ("clean.png", "clean.webp") if name in files)
        assert np.array_equal(pixels(tmp_path / f"out/clean/{key}.png"), pixels(clean))


@pytest.mark.parametrize("arguments", [[], ["--clean"], ["--class-folders"]])
def test_packing_what_was_unpacked_gives_equal_pixels_and_labels(
    arguments: list[str], attacked: Path, tmp_path: Path
) -> None:
    unpack(attacked, tmp_path / "out", *arguments)
    assert run(["pack", str(tmp_path / "out"), str(tmp_path / "packed")]) == 0
    before, after = samples(attacked), samples(tmp_path / "packed")
    assert [int(files["cls"]) for files in after.values()] == [int(files["cls"]) for files in before.values()]
    for files, packed in zip(before.values(), after.values(), strict=True):
        image = next(files[name] for name in ("png", "webp") if name in files)
        assert np.array_equal(pixels(packed["png"]), pixels(image))
    if "--class-folders" not in arguments:
        assert list(after) == list(before)


def test_targets_come_from_packing_and_from_attacks_and_go_back(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(image_file(number, (16, 16), "PNG"))
    table = ["filename,label,targeted_label", "0.png,3,9", "1.png,4,8", "2.png,5,7", "3.png,6,1"]
    (folder / "labels.csv").write_text("\n".join(table))
    assert run(["pack", str(folder), str(tmp_path / "packed")]) == 0
    tiny_job.generate(str(tmp_path / "packed"), str(tmp_path / "attacked"), target_field="target_label")
    for made in ("packed", "attacked"):
        assert unpack(tmp_path / made, tmp_path / f"{made}-out") == [line.split(",") for line in table]
    assert run(["pack", str(tmp_path / "attacked-out"), str(tmp_path / "again")]) == 0
    assert targets(tmp_path / "again") == targets(tmp_path / "packed")
    assert labels(tmp_path / "again") == labels(tmp_path / "packed") == {"0": 3, "1": 4, "2": 5, "3": 6}


def test_an_image_without_a_target_has_an_empty_cell(tmp_path: Path, make_shard: Callable[..., Path]) -> None:
    shard = make_shard(files=dict(sorted({**sample_files(2), "0000.json": b'{"target_label": 5}'}.items())))
    assert unpack(shard, tmp_path / "out") == [
        ["filename", "label", "targeted_label"], ["0000.png", "0", "5"], ["0001.png", "1", ""]
    ]  # fmt: skip


def test_class_folders_are_what_image_folder_readers_take(attacked: Path, tmp_path: Path) -> None:
    [_, *table] = unpack(attacked, tmp_path / "out", "--class-folders", "--clean")
    dataset = ImageFolder(tmp_path / "out/images")
    found = {Path(path).relative_to(tmp_path / "out/images").as_posix(): int(dataset.classes[index])
             for path, index in dataset.samples}  # fmt: skip
    assert found == {name: int(label) for name, label in table}
    assert {len(name) for name in dataset.classes} == {5}
    assert len(ImageFolder(tmp_path / "out/clean")) == 11


KEYS = ("a/b", "a_b", "..b/c", "a b", "über", "A", "a", "n" * 150 + "/m", "k" * 240)


def test_keys_never_lead_out_of_the_folder_and_never_collide(tmp_path: Path, make_shard: Callable[..., Path]) -> None:
    files: dict[str, bytes] = {}
    for number, key in enumerate(KEYS):
        files |= {f"{key}.cls": str(number).encode(), f"{key}.png": image_file(number, image_format="PNG")}
    make_shard("in/a.tar", files)
    make_shard("in/b.tar", files)  # the same keys once more
    with writes_outside(tmp_path / "sandbox") as seen:
        (tmp_path / "sandbox").mkdir()
        [_, *table] = unpack(tmp_path / "in", tmp_path / "sandbox/out")
    assert seen == []
    assert [int(label) for _, label in table] == list(range(len(KEYS))) * 2
    names = [name for name, _ in table]
    assert len(set(names)) == len(names) == len(list((tmp_path / "sandbox/out/images").iterdir()))
    for name, label in table:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
        assert np.array_equal(pixels(tmp_path / "sandbox/out/images" / name), pixels(files[f"{KEYS[int(label)]}.png"]))
    assert run(["pack", str(tmp_path / "sandbox/out"), str(tmp_path / "packed")]) == 0
    assert [int(files["cls"]) for files in samples(tmp_path / "packed").values()] == [int(label) for _, label in table]


def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path: Path, make_shard: Callable[..., Path]) -> None:
    shard = make_shard(files={"../escape.cls": b"1", "../escape.png": image_file(0, image_format="PNG")})
    with pytest.raises(MendableError, match="leads out of the archive"):
        unpack(shard, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_anything_is_refused_and_left_alone(attacked: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not an empty folder; name another, or remove it"):
        unpack(attacked, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (tmp_path / "out/mine.txt").unlink()
    assert len(unpack(attacked, tmp_path / "out")) == 12
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        unpack(attacked, tmp_path / "out")
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        unpack(attacked, tmp_path / "out/labels.csv")


def test_a_killed_run_leaves_nothing_that_is_taken_for_whole(attacked: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom lit_adv.shards import unpack\nadd, count = unpack._Writer.add, []\n"
        "def dying(*args):\n    count.append(add(*args))\n    len(count) < 5 or os.kill(os.getpid(), signal.SIGKILL)\n"
        "unpack._Writer.add = dying\nunpack.unpack(sys.argv[1], sys.argv[2])"
    )
    root = Path(unpack_module.__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", code, str(attacked), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(root)}, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / ".out.partial/images").iterdir())) == 5
    (tmp_path / ".out.partial/images/0001.png").write_bytes(b"half")
    assert len(unpack(attacked, tmp_path / "out")) == 12
    assert {pixels(path).shape for path in (tmp_path / "out/images").iterdir()} == {(16, 16, 3)}
    assert not (tmp_path / ".out.partial").exists()


def test_what_is_no_remainder_of_a_killed_run_is_left_alone(attacked: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"\.out\.partial holds other things"):
        unpack(attacked, tmp_path / "out")
    assert (tmp_path / ".out.partial/mine.txt").read_text() == "mine"
    (tmp_path / ".o.partial").symlink_to(tmp_path / ".out.partial")
    with pytest.raises(OSError, match="cannot write into"):
        unpack(attacked, tmp_path / "o")


def test_shards_without_clean_images_are_refused_when_these_are_asked_for(two_shards: str, tmp_path: Path) -> None:
    with pytest.raises(MendableError, match=r"hold no clean images; .*--output\.clean_images true"):
        unpack(two_shards, tmp_path / "out", "--clean")
    assert list(tmp_path.glob("*out*")) == []


def test_samples_that_cannot_be_used_are_counted_and_named(
    tmp_path: Path, make_shard: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = sample_files(8)
    for number in range(7):
        del files[f"{number:04d}.cls"]
    shard = make_shard(files=files)
    assert run(["unpack", str(shard), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert f"left out: {shard}, sample '0000': no class index: there is no cls file\n" in said
    assert "left out: 2 more\n1 images in " in said
    assert rows(tmp_path / "out") == [["filename", "label"], ["0007.png", "7"]]


def test_a_sample_of_two_images_is_left_out(tmp_path: Path, make_shard: Callable[..., Path]) -> None:
    shard = make_shard(files={"a.cls": b"1", "a.jpg": image_file(0), "a.png": image_file(1, image_format="PNG")})
    with pytest.raises(MendableError, match=r"no sample of .* can be used: .*it has more than one image: jpg, png"):
        unpack(shard, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_refused_by_name(attacked: Path, tmp_path: Path) -> None:
    shard = attacked / "shard-000001.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(MendableError, match=r"shard-000001\.tar: it is cut off .*lit-adv verify FOLDER --repair"):
        unpack(attacked, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_remote_folder_is_refused(attacked: Path) -> None:
    with pytest.raises(ValueError, match="memory:///out is not a local folder"):
        unpack(attacked, "memory:///out")  # type: ignore[arg-type]


def test_labels_may_come_from_json(tmp_path: Path, make_shard: Callable[..., Path]) -> None:
    shard = make_shard(files={"a.jpg": image_file(0), "a.json": b'{"class": 5}'})
    assert unpack(shard, tmp_path / "out", "--label-field", "class") == [["filename", "label"], ["a.png", "5"]]


def test_the_tars_stay_as_they_are(attacked: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in attacked.iterdir()}
    unpack(attacked, tmp_path / "out", "--clean")
    assert {path.name: path.read_bytes() for path in attacked.iterdir()} == before
    assert all(tarfile.is_tarfile(path) for path in attacked.glob("*.tar"))
