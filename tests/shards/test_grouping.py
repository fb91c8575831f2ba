"""Which files make a sample: webdataset's rule, and what is done where it would lose one."""

import os
import tarfile

import pytest

from lit_adv.shards.grouping import group_samples, is_content


def group(*names: str) -> list[tuple[str, list[str]]]:
    """Return each sample's key and extensions."""
    return [(key, sorted(members)) for key, members in group_samples(map(tarfile.TarInfo, names))]


@pytest.mark.parametrize(
    "name",
    [
        "t/._a.jpg", "._a.jpg", "t/.DS_Store", ".DS_Store", "__MACOSX/t/a.jpg", "t/__MACOSX/._a.jpg", "t/Thumbs.db",
        "t/desktop.ini", "t/@eaDir/a.jpg", "$RECYCLE.BIN/a.jpg", "t/.directory", "__meta__/info.json",
    ],
)  # fmt: skip
def test_what_systems_leave_beside_files_is_no_content(name: str) -> None:
    assert not is_content(name)
    assert is_content("t/a.jpg")


@pytest.mark.parametrize(
    ("names", "samples"),
    [
        # as webdataset has it
        (["a.cls", "a.jpg", "b.cls", "b.jpg"], [("a", ["cls", "jpg"]), ("b", ["cls", "jpg"])]),
        (["a.clean.png", "a.cls", "a.json", "a.png"], [("a", ["clean.png", "cls", "json", "png"])]),
        (["a.cls", "a.left.jpg", "a.right.jpg"], [("a", ["cls", "left.jpg", "right.jpg"])]),
        (["x.y/a.cls", "x.y/a.jpg"], [("x.y/a", ["cls", "jpg"])]),
        (["a.cls", "a.crop.json", "a.crop.jpg", "a.jpg"], [("a", ["cls", "crop.jpg", "crop.json", "jpg"])]),
        # names with dots
        (["a.v2.cls", "a.v2.jpg"], [("a_v2", ["cls", "jpg"])]),
        (["d.e/a.2.1.JPG", "d.e/a.2.1.json"], [("d.e/a_2_1", ["jpg", "json"])]),
        (["a.1.jpg", "a.1.cls", "a.2.jpg", "a.2.cls"], [("a_1", ["cls", "jpg"]), ("a_2", ["cls", "jpg"])]),
        (["a.jpg", "a.cls", "a.2.jpg", "a.2.cls"], [("a", ["cls", "jpg"]), ("a_2", ["cls", "jpg"])]),
        (["a.2.clean.png", "a.2.png", "a.2.cls"], [("a_2", ["clean.png", "cls", "png"])]),
        # files that stand apart
        (["a.cls", "b.cls", "a.jpg", "b.jpg"], [("a", ["cls", "jpg"]), ("b", ["cls", "jpg"])]),
        (["a.cls", "b.cls", "a.jpg", "b.jpg", "a.json"], [("a", ["cls", "jpg", "json"]), ("b", ["cls", "jpg"])]),
        (["a.1.jpg", "a.2.jpg", "b.jpg", "a.1.cls", "a.2.cls", "b.cls"],
         [("a_1", ["cls", "jpg"]), ("a_2", ["cls", "jpg"]), ("b", ["cls", "jpg"])]),
        # not parts of one sample
        (["a.jpg", "a.cls", "b.jpg", "a.png"], [("a", ["cls", "jpg"]), ("b", ["jpg"]), ("a", ["png"])]),
        (["a.jpg", "b.jpg", "a.png"], [("a", ["jpg"]), ("b", ["jpg"]), ("a", ["png"])]),
    ],
)  # fmt: skip
def test_files_are_grouped_so_that_no_sample_is_torn_or_lost(
    names: list[str], samples: list[tuple[str, list[str]]]
) -> None:
    assert group(*names) == samples


def test_bytes_of_a_name_that_are_no_text_are_written_as_in_urls() -> None:
    assert group(os.fsdecode(b"caf\xe9.jpg"), os.fsdecode(b"caf\xe9.cls")) == [("caf%E9", ["cls", "jpg"])]
    assert group("café.jpg") == [("café", ["jpg"])]


def test_a_name_of_a_million_dots_takes_no_time() -> None:
    assert group("a" + "." * 10**6 + "jpg", "a.2.jpg", "a.2.cls")[1] == ("a_2", ["cls", "jpg"])
