"""What lies in a folder beside images is neither a class nor a sample, and is said."""

import re
import shutil
from pathlib import Path

import pytest

from lit_adv.packing import is_image_folder
from tests.packing.tiny_folders import make, pack, samples

SYSTEM = ("__MACOSX", ".hidden", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found",
          ".ipynb_checkpoints", "@Recycle", "#snapshot", "__pycache__", ".Trash-1000", "@tmp")  # fmt: skip


@pytest.mark.parametrize("name", SYSTEM)
def test_a_folder_that_a_system_left_is_no_class_and_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg", "n02/b.jpg", f"{name}/._a.jpg", f"{name}/thumbnail.jpg")
    make(folder, f"n02/{name}/c.jpg")
    assert pack(folder, tmp_path / "out") == {"n01_a": 0, "n02_b": 1}
    said = capsys.readouterr().out
    assert f"left out 2 files or folders of the system's own: {folder}" in said
    assert f"{folder / name}" in said
    assert f"{folder / 'n02' / name}" in said


@pytest.mark.parametrize("name", ["#a", "@home", "$", "Recycled"])
def test_a_folder_that_may_be_a_class_or_a_systems_own_shifts_no_labels(name: str, tmp_path: Path) -> None:
    for place, image in (("outer", f"{name}/a.jpg"), ("inner", f"cat/{name}/deep/a.jpg"), ("other", f"{name}/a.bmp")):
        folder = make(tmp_path / place, image, "cat/b.jpg", "dog/c.jpg")
        with pytest.raises(ValueError, match=rf"{re.escape(name)} holds images, but .* rename it if it is a class"):
            pack(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        shutil.rmtree((folder / image).parent)
    (folder / name).mkdir(exist_ok=True)
    assert pack(folder, tmp_path / "out") == {"cat_b": 0, "dog_c": 1}


def test_such_a_folder_is_none_of_a_system_s_where_a_csv_names_its_images(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "images/#1/a.jpg", "images/b.jpg")
    (folder / "labels.csv").write_text("#1/a.jpg,3\nb.jpg,4\n")
    assert is_image_folder(str(folder))
    assert sorted(pack(folder, tmp_path / "out").values()) == [3, 4]


def test_a_link_in_such_a_folder_does_not_lead_around_for_ever(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "cat/b.jpg", "cat/@x/c.jpg")
    (folder / "cat/@x/c.jpg").unlink()
    (folder / "cat/@x/up").symlink_to("..")
    with pytest.raises(OSError, match=r"@x/up is a link to a folder that it lies in; remove it"):
        pack(folder, tmp_path / "out")


def test_files_that_a_system_left_are_no_samples_and_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg", "n01/._a.jpg", "n01/.DS_Store", "n01/Thumbs.db", "n02/b.jpg", "._n01")
    assert pack(folder, tmp_path / "out") == {"n01_a": 0, "n02_b": 1}
    assert "left out 4 files or folders of the system's own" in capsys.readouterr().out


def test_files_that_are_no_images_are_counted_by_extension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg", "n01/a.xml", "n01/b.XML", "n01/README", "notes.txt")
    assert pack(folder, tmp_path / "out") == {"n01_a": 0}
    assert "left out 4 files that are no images (xml 2, no extension 1, txt 1)" in capsys.readouterr().out


def test_images_of_other_formats_are_refused_by_number_or_left_out_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg", "n01/b.bmp", "n02/c.BMP", "n02/d.gif", "n02/e.jpg")
    with pytest.raises(
        ValueError, match=r"3 image files .* \(bmp 2, gif 1\), such as .*b\.bmp; convert .*--skip-other"
    ):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert pack(folder, tmp_path / "out", "--skip-other") == {"n01_a": 0, "n02_e": 1}
    assert "left out 3 image files of formats that shards do not take (bmp 2, gif 1)" in capsys.readouterr().out


@pytest.mark.parametrize("extension", ["tif", "tiff", "heic", "avif", "jfif", "jpe", "jp2", "ppm"])
def test_a_folder_of_another_format_alone_says_so(extension: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"2 image files .* \({extension} 2\)"):
        pack(make(tmp_path / "in", f"n01/a.{extension}", f"n02/b.{extension}"), tmp_path / "out")


def test_images_beside_class_folders_are_refused_or_left_out_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg", "x.jpg", "y.jpg")
    with pytest.raises(ValueError, match=r"2 images beside the class folders, such as .*x\.jpg; move them"):
        pack(folder, tmp_path / "out")
    assert pack(folder, tmp_path / "out", "--skip-other") == {"n01_a": 0}
    assert "left out 2 images beside the class folders" in capsys.readouterr().out


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg/b.jpg", "n02.png/c.jpg")
    assert pack(folder, tmp_path / "out") == {"n01_a_jpg_b": 0, "n02_png_c": 1}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg")
    (folder / "n02").symlink_to(make(tmp_path / "elsewhere", "b.jpg"))
    assert pack(folder, tmp_path / "out") == {"n01_a": 0, "n02_b": 1}
    (folder / "n01/up").symlink_to(folder / "n01")
    with pytest.raises(OSError, match="up is a link to a folder that it lies in"):
        pack(folder, tmp_path / "again")


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "n01/a.jpg")
    (folder / "n01/b.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(OSError, match=r"b\.jpg is not a plain file, or a link to none"):
        pack(folder, tmp_path / "out")


def test_every_image_is_a_sample(tmp_path: Path) -> None:
    names = ["n01/a.jpg", "n01/b.JPEG", "n01/c.PNG", "n02/d.webp", "n02/deep/er/e.Jpg"]
    folder = make(tmp_path / "in", *names)
    pack(folder, tmp_path / "out")
    stored = sorted(
        content for files in samples(tmp_path / "out").values() for name, content in files.items() if name != "cls"
    )
    assert stored == sorted((folder / name).read_bytes() for name in names)
