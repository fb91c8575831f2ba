"""The watch over writes sees what it is there for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.escapes import writes_outside

ESCAPES: dict[str, Callable[[Path], object]] = {
    "open": lambda path: path.write_bytes(b"x"),
    "open for appending": lambda path: path.open("a").close(),
    "open without Python's files": lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
    "mkdir": lambda path: path.mkdir(),
    "move": lambda path: Path("inside").rename(path),
    "link": lambda path: path.hardlink_to("inside"),
    "symlink": lambda path: path.symlink_to("inside"),
    "remove": lambda path: (path.parent / "there").unlink(),
}


@pytest.mark.parametrize("way", ["absolute", "..", "link"])
@pytest.mark.parametrize("escape", ESCAPES)
def test_a_write_outside_the_folder_is_seen(
    escape: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "inside").write_text("x")
    (tmp_path / "there").write_text("x")
    (folder / "link").symlink_to(tmp_path)
    monkeypatch.chdir(folder)
    with writes_outside(folder) as seen:
        ESCAPES[escape]({"absolute": tmp_path, "..": Path(".."), "link": folder / "link"}[way] / "escaped")
    [told] = seen
    assert str(tmp_path) in told
    assert str(folder) not in told


def test_writes_inside_and_reads_outside_are_no_escapes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "there").write_text("x")
    with writes_outside(folder) as seen:
        (folder / "inside").write_text((tmp_path / "there").read_text())
        (folder / "inside").rename(folder / "moved")
        (folder / "link").symlink_to(tmp_path / "there")
        (folder / "link").unlink()
    (tmp_path / "later").write_text("x")
    assert seen == []
