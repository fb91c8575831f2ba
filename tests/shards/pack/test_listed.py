"""CSV files of images and labels, as people have them."""

import json
from pathlib import Path

import pytest

from tests.shards.pack.tiny_folders import make, pack, targets

NIPS_HEADER = (
    "ImageId,URL,x1,y1,x2,y2,TrueLabel,TargetClass,OriginalLandingURL,License,Author,AuthorProfileURL"
)  # fmt: skip


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make(tmp_path / "in", "a.png", "b.jpg", "c.jpeg")


def test_the_nips_2017_table_gives_labels_and_targets_from_zero(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = 'https://host/x,CC-BY,"Doe, Jane",https://host/jane'
    lines = [f"{name},https://host/{name}.jpg,0.0,0.1,0.9,1.0,{label},{target},{rest}" for name, label, target in
             (("a", 1, 1000), ("b", 306, 779), ("c", 1000, 1))]  # fmt: skip
    dev = table(tmp_path, "\n".join([NIPS_HEADER, *lines]), "dev_dataset.csv")
    assert pack(images, tmp_path / "out", "--labels", dev, "--classes", "nips2017") == {"a": 0, "b": 305, "c": 999}
    assert targets(tmp_path / "out") == {
        "a": {"target_label": 999}, "b": {"target_label": 778}, "c": {"target_label": 0}
    }  # fmt: skip
    said = capsys.readouterr().out
    assert f"labels are the column TrueLabel of {dev} - 1: 0 to 999; 3 of 3 images have a target" in said


def test_labels_that_may_count_from_one_are_refused_until_that_is_said(images: Path, tmp_path: Path) -> None:
    dev = table(tmp_path, "ImageId,TrueLabel\na,1\n", "dev.csv")
    with pytest.raises(ValueError, match=r"TrueLabel counts from 1 .*: --classes nips2017, or --label-offset 0"):
        pack(images, tmp_path / "out", "--labels", dev)
    assert pack(images, tmp_path / "out", "--labels", dev, "--label-offset", "0") == {"a": 1}


def test_a_table_from_zero_is_not_taken_for_the_competitions(images: Path, tmp_path: Path) -> None:
    table(images, "filename,label\na.png,7\n")
    with pytest.raises(ValueError, match=r"has no column TrueLabel, .*use --classes imagenet"):
        pack(images, tmp_path / "out", "--classes", "nips2017")


@pytest.mark.parametrize("inner", ["", "images/"])
def test_transfer_attacks_folder_is_found_by_itself(
    inner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "data", f"{inner}x.png", f"{inner}y.png")
    labels = table(folder, "filename,label,targeted_label\nx.png,305,7\ny.png,0,\n")
    assert pack(folder, tmp_path / "out") == {"x": 305, "y": 0}
    assert targets(tmp_path / "out") == {"x": {"target_label": 7}}
    assert f"labels are the column label of {labels}: 0 to 305; 1 of 2 images have a target" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["data-000000.tar"]


def test_images_in_both_places_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "x.png", "images/x.png")
    table(folder, "filename,label\nx.png,3\n")
    with pytest.raises(ValueError, match=r"x\.png is in .*/in and in .*/in/images; remove one, or give the folder"):
        pack(folder, tmp_path / "out")


def test_class_folders_come_before_a_table_that_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "in", "cat/a.jpg", "dog/b.jpg")
    labels = table(folder, "filename,label\ncat/a.jpg,30\ndog/b.jpg,40\n")
    assert pack(folder, tmp_path / "out") == {"cat_a": 0, "dog_b": 1}
    assert f"{labels} is not read, since there are class folders" in capsys.readouterr().out
    assert pack(folder, tmp_path / "listed", "--labels", labels) == {"cat_a": 30, "dog_b": 40}


@pytest.mark.parametrize(
    "header",
    ["filename,width,height,label", "file_name,w,h,Label", "image,x,y,class", "img,x,y,label_id", "Path,w,h,Class Idx"],
)  # fmt: skip
def test_a_headers_names_decide_the_columns(header: str, images: Path, tmp_path: Path) -> None:
    table(images, f"{header}\na.png,640,480,7\nb.jpg,320,200,9\n")
    assert pack(images, tmp_path / "out") == {"a": 7, "b": 9}


def test_columns_may_be_named(images: Path, tmp_path: Path) -> None:
    table(images, "photo,species,kind,aim\na.png,5,x,8\nb.jpg,6,y,9\n")
    columns = ("--image-column", "photo", "--label-column", "species", "--target-column", "aim")
    assert pack(images, tmp_path / "out", *columns, "--label-offset", "-1") == {"a": 4, "b": 5}
    assert targets(tmp_path / "out") == {"a": {"target_label": 7}, "b": {"target_label": 8}}


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbffilename,label\r\na.png,7\r\nb.jpg,9\r\n",
        b"filename;label\na.png;7\nb.jpg;9\n",
        b"filename\tlabel\na.png\t7\n\nb.jpg\t9",
        b'"filename" , "label"\n"a.png","7"\n b.jpg , 9 \n'.replace(b" , ", b","),
        b"a.png,7\nb.jpg,9\n",
        b"\xef\xbb\xbfa.png;7\r\nb.jpg;9\r\n",
        b"label,filename\n7,a.png\n9,./b.jpg\n",
    ],
)
def test_a_table_may_be_written_in_many_ways(text: bytes, images: Path, tmp_path: Path) -> None:
    table(images, text)
    assert pack(images, tmp_path / "out") == {"a": 7, "b": 9}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("a.png,640,480,7\n", (), r"line 1: no known header \(a\.png, 640, 480, 7\); begin with filename,label"),
        ("filname,lable\na.png,7\n", (), r"line 1: no known header \(filname, lable\)"),
        ("filename,lable\na.png,7\n", (), "no column is known to hold the label; there are filename, lable; "),
        ("filname,label\na.png,7\n", (), "no column is known to hold the image; there are filname, label"),
        ("filename,path,label\na.png,a.png,7\n", (), "'filename' and 'path' may both hold the image; .*--image-column"),
        ("filename,label,class\na.png,7,8\n", (), "'label' and 'class' may both hold the label"),
        ("filename,label,target\na.png,7,8\n", (), "column 'target' may be the label or what .*--target-column target"),
        ("filename,target\na.png,7\n", (), "no column is known to hold the label; there are filename, target"),
        ("filename,label\na.png,7\n", ("--label-column", "klass"), "there is no column 'klass' among filename, label"),
        ("filename,label\na.png,7\n", ("--label-column", "filename"), "one column cannot be two of"),
        ("filename,label\na.png,7,8\n", (), r"line 2: need a file name and a label, got \['a\.png', '7', '8'\]"),
        ("filename,w,label\na.png,1,7\nb.jpg,5\n", (), "line 3: need 3 columns, as the header has"),
        ("a.png,7\nb.jpg\n", (), "line 2: need a file name and a label"),
        ("a.png 7\n", (), "need a file name and a label, a comma, a semicolon or a tab between"),
        ("a.png,1000\n", ("--classes", "imagenet"), r"label of a\.png, 1000 is out of range: .* add --label-offset -1"),
        ("a.png,0\n", ("--label-offset", "-1"), r"0 is out of range: labels must be 0 or more \(with the offset -1\)"),
        ("filename,label,targeted_label\na.png,0,1000\n", ("--classes", "imagenet"), "the target of a.png, 1000 is"),
        ("a.png,n01440764\n", (), "'n01440764' of a.png is not a class index; WordNet ids .* --classes imagenet"),
        ("a.png,7.0\n", (), r"the label '7\.0' of a\.png is not a class index"),
        ('filename,label,x\na.png,7,"note\nb.jpg,9,\n', (), "labels.csv, line 3: unexpected end of data"),
        (b"\xff\xfea\x00.\x00", (), "is UTF-16 text; save it as CSV in UTF-8"),
        ("\u00fc.png,7\n".encode("latin-1"), (), "is not UTF-8 text"),
        (b"a.png,7\0\n", (), "labels.csv, line "),
        ("../in/../x.png,7\n", (), "line 1: there is no file"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_refused(
    text: str | bytes, arguments: tuple[str, ...], message: str, images: Path, tmp_path: Path
) -> None:
    table(images, text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pack(images, tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_names_may_lack_the_extension_unless_two_files_fit(images: Path, tmp_path: Path) -> None:
    labels = table(images, "ImageId,label\na,7\nc,9\n")
    assert pack(images, tmp_path / "out") == {"a": 7, "c": 9}
    make(images, "a.webp", "._c.jpg")
    with pytest.raises(ValueError, match=r"line 2: a may be .*a\.(png|webp) or .*a\.(png|webp); name the extension"):
        pack(images, tmp_path / "again")
    labels.write_text("ImageId,label\nc,9\nx.y,3\n")
    with pytest.raises(FileNotFoundError, match=r"line 3: there is no file .*x\.y"):
        pack(images, tmp_path / "again")


def test_names_may_be_those_of_another_system(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "sub/a.png")
    labels = table(tmp_path, "filename,label\nsub\\a.png,7\n")
    assert pack(folder, tmp_path / "out", "--labels", labels) == {"sub_a": 7}


def test_names_may_be_absolute_but_not_lead_out_of_the_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = table(tmp_path, f"filename,label\n{images / 'a.png'},7\n")
    monkeypatch.chdir(tmp_path)
    assert pack(Path("in"), tmp_path / "out", "--labels", labels) == {"a": 7}
    other = make(tmp_path / "other", "x.png")
    with pytest.raises(ValueError, match=r"in/a\.png lies outside of .*other; give the folder that holds all images"):
        pack(other, tmp_path / "again", "--labels", labels)


def test_wordnet_ids_are_labels_on_request(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    table(images, "filename,label\na.png,n15075141\nb.jpg,3\n")
    assert pack(images, tmp_path / "out", "--classes", "imagenet") == {"a": 999, "b": 3}


def test_images_that_the_table_leaves_out_are_counted(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(images, "d.gif", "._a.png")
    table(images, "a.png,7\n")
    assert pack(images, tmp_path / "out") == {"a": 7}
    assert "3 images beside those that labels.csv names are left out" in capsys.readouterr().out


def test_listed_images_of_other_formats_are_refused_or_left_out_on_request(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(images, "d.bmp")
    table(images, "a.png,7\nd.bmp,8\n")
    with pytest.raises(ValueError, match=r"line 2: .*d\.bmp is not a jpg, jpeg, png or webp file"):
        pack(images, tmp_path / "out")
    assert pack(images, tmp_path / "out", "--skip-other") == {"a": 7}
    assert "left out 1 image files of formats that shards do not take (bmp 1)" in capsys.readouterr().out


def test_labels_from_1_to_1000_are_doubted(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(images, "filename,label\na.png,1\nb.jpg,1000\n")
    assert pack(images, tmp_path / "out") == {"a": 1, "b": 1000}
    assert "if they count from 1, add --label-offset -1" in capsys.readouterr().out


def test_samples_without_targets_have_no_json(images: Path, tmp_path: Path) -> None:
    table(images, "a.png,7\n")
    pack(images, tmp_path / "out")
    assert targets(tmp_path / "out") == {}
    assert json.loads((tmp_path / "out/pack.json").read_text())["classes"] == {}
