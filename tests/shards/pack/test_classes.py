"""Which label a class folder gets."""

import json
import re
from pathlib import Path

import pytest

from lit_adv.shards.pack import imagenet
from tests.shards.pack.tiny_folders import make, pack


def test_numbers_mean_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "in", *(f"{number}/a.jpg" for number in range(11)))
    assert pack(folder, tmp_path / "out") == {f"{number}_a": number for number in range(11)}
    said = capsys.readouterr().out
    assert "labels of 11 class folders:\n  0 0\n  1 1\n  2 2\n  ...\n  8 8\n  9 9\n  10 10\n" in said
    classes = json.loads((tmp_path / "out/pack.json").read_text())["classes"]
    assert classes == {str(number): str(number) for number in range(11)}


def test_numbers_may_have_zeros_before_them_and_gaps(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "00207/a.jpg", "00003/b.jpg", "00999/c.jpg")
    assert pack(folder, tmp_path / "out") == {"00003_b": 3, "00207_a": 207, "00999_c": 999}


def test_numbers_may_be_shifted(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "1/a.jpg", "102/b.jpg")
    assert pack(folder, tmp_path / "out", "--label-offset", "-1") == {"1_a": 0, "102_b": 101}
    with pytest.raises(ValueError, match=r"in/1: 1 is out of range: labels must be 0 or more \(with the offset -2\)"):
        pack(folder, tmp_path / "again", "--label-offset=-2")


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (("1/a.jpg", "2/a.jpg", "cat/a.jpg"), (), r"some class folders of .* are numbers \(1, 2\) .* not \(cat\)"),
        (("1/a.jpg", "01/b.jpg"), (), "two class folders of .* mean the label 1"),
        (("cat/a.jpg", "dog/a.jpg"), ("--label-offset", "1"), "--label-offset is for class folders that are numbers"),
        (("0/a.jpg", "1000/a.jpg"), ("--classes", "imagenet"), r"in/1000: 1000 is out of range: labels .* \[0, 1000\)"),
        (("n01440764/a.jpg", "cat/a.jpg"), ("--classes", "imagenet"), "1 class folders .* not named by .*: cat"),
        (("n00000000/a.jpg",), ("--classes", "imagenet"), "1 class folders .* 1000 classes: n00000000"),
        (("0/a.jpg",), ("--classes", "nips2017"), "--classes nips2017 reads labels from a CSV file"),
        (("0/a.jpg",), ("--label-column", "label"), "--label-column is for a CSV file"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_refused(
    names: tuple[str, ...], arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        pack(make(tmp_path / "in", *names), tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("splits", [("train", "val"), ("Train", "Test", "valid"), ("train",)])
def test_splits_are_no_classes(splits: tuple[str, ...], tmp_path: Path) -> None:
    folder = make(tmp_path / "in", *(f"{split}/{name}/a.jpg" for split in splits for name in ("cat", "dog")))
    message = (
        rf"holds splits \({', '.join(sorted(splits))}\), not classes; .* lit-adv pack {folder / sorted(splits)[0]}"
    )
    with pytest.raises(ValueError, match=message):
        pack(folder, tmp_path / "out")
    assert pack(folder / splits[0], tmp_path / "out") == {"cat_a": 0, "dog_a": 1}


def test_splits_beside_something_else_are_no_classes_but_a_class_may_be_called_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds splits \(train\)"):
        pack(make(tmp_path / "in", "train/cat/a.jpg", "train/dog/a.jpg", "more/a.jpg"), tmp_path / "out")
    vehicles = make(tmp_path / "vehicles", "bus/a.jpg", "car/a.jpg", "train/a.jpg")
    assert pack(vehicles, tmp_path / "out") == {"bus_a": 0, "car_a": 1, "train_a": 2}


@pytest.mark.parametrize(
    "names", [("part/n01440764/a.jpg", "rest/n01443537/a.jpg"), ("all/cat/a.jpg", "all/dog/a.jpg")]
)
def test_classes_that_lie_deeper_are_named(names: tuple[str, ...], tmp_path: Path) -> None:
    folder = make(tmp_path / "in", *names)
    inner = folder / names[0].partition("/")[0]
    with pytest.raises(ValueError, match=f"seem to lie deeper, in {inner} .*lit-adv pack {inner} OUT"):
        pack(folder, tmp_path / "out")


def test_a_flat_folder_of_images_inside_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no class folders, only images; give a CSV file"):
        pack(make(tmp_path / "in", "images/a.jpg", "images/b.jpg"), tmp_path / "out")


def test_images_in_folders_of_a_class_are_of_that_class_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "cat/left/a.jpg", "dog/left/b.jpg", "dog/c.jpg")
    assert pack(folder, tmp_path / "out") == {"cat_left_a": 0, "dog_c": 1, "dog_left_b": 1}
    assert "2 class folders hold images in folders of their own, such as cat/left" in capsys.readouterr().out


def test_wordnet_ids_get_imagenets_indices_on_request_and_a_note_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    # Goldfish, tench and toilet tissue are classes 1, 0 and 999 of ImageNet.
    folder = make(tmp_path / "in", "n01443537/a.jpg", "n01440764/b.jpg", "n15075141/c.jpg")
    expected = {"n01440764_b": 0, "n01443537_a": 1, "n15075141_c": 999}
    assert pack(folder, tmp_path / "out", "--classes", "imagenet") == expected
    said = capsys.readouterr().out
    assert "  0 n01440764\n  1 n01443537\n  999 n15075141\n" in said
    assert "note" not in said
    assert pack(folder, tmp_path / "plain") == {**expected, "n15075141_c": 2}
    assert "3 of ImageNet's class folders get the labels 0 to 2; " in capsys.readouterr().out
    assert json.loads((tmp_path / "out/pack.json").read_text())["classes"]["999"] == "n15075141"


def test_a_missing_timm_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    imagenet.imagenet_indices.cache_clear()
    with pytest.raises(RuntimeError, match="pip install timm"):
        pack(make(tmp_path / "in", "n01440764/a.jpg"), tmp_path / "out", "--classes", "imagenet")


def test_names_that_begin_with_numbers_are_sorted_as_text_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "1_cat/a.jpg", "2_dog/a.jpg", "10_cow/a.jpg")
    assert pack(folder, tmp_path / "out") == {"10_cow_a": 0, "1_cat_a": 1, "2_dog_a": 2}
    assert "begin with numbers, but their labels are their order as text" in capsys.readouterr().out


def test_a_flat_folder_with_a_table_beside_the_images_is_told_of_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.jpg")
    (folder / "dev.csv").write_text("a.jpg,3\n")
    with pytest.raises(FileNotFoundError, match=re.escape(f"such as --labels {folder / 'dev.csv'}")):
        pack(folder, tmp_path / "out")
