"""From patterns to lists of shards."""

from pathlib import Path

import fsspec
import pytest

from lit_adv.shards.listing import file_name, list_shards, shard_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a-000000.tar", "a-000001.tar", "b-000000.tar", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def names(shards: list[str]) -> list[str]:
    return [file_name(shard) for shard in shards]


def test_a_brace_pattern_a_glob_a_folder_and_a_list_are_expanded(folder: Path) -> None:
    both = ["a-000000.tar", "a-000001.tar"]
    assert names(list_shards(f"{folder}/a-{{000000..000001}}.tar")) == both
    assert names(list_shards(f"{folder}/a-*.tar")) == both
    assert names(list_shards(str(folder))) == [*both, "b-000000.tar"]
    assert names(list_shards([f"{folder}/b-000000.tar", f"{folder}/a-*.tar"])) == ["b-000000.tar", *both]


def test_relative_paths_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert list_shards("a-{000000..000001}.tar") == ["a-000000.tar", "a-000001.tar"]


def test_remote_shards_are_listed_with_their_scheme() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("x", "y"):
        memory.pipe_file(f"/listing/{name}.tar", b"")
    expected = ["memory:///listing/x.tar", "memory:///listing/y.tar"]
    for pattern in ("memory:///listing/{x,y}.tar", "memory:///listing/*.tar", "memory:///listing"):
        assert list_shards(pattern) == expected
    with pytest.raises(FileNotFoundError, match=r"memory:///listing/z\.tar"):
        list_shards("memory:///listing/{x..z}.tar")


def test_web_addresses_are_taken_as_they_are() -> None:
    url = "https://host.example/a.tar?key=[1]*"
    assert list_shards(url) == [url]
    assert shard_name(url) == "a"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none-*.tar", r"no file matches '.*none-\*\.tar'; correct the pattern"),
        ("a-{000000..000002}.tar", r"no shard .*a-000002\.tar; correct the list"),
        ("missing.tar", r"no shard .*missing\.tar"),
    ],
)
def test_what_is_missing_is_named(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        list_shards(f"{folder}/{pattern}")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="the list is empty"):
        list_shards([])


@pytest.mark.parametrize("image", ["dog.JPEG", "class/dog.png"])
def test_a_folder_of_images_leads_to_the_pack_command(tmp_path: Path, image: str) -> None:
    (tmp_path / image).parent.mkdir(exist_ok=True)
    (tmp_path / image).touch()
    with pytest.raises(FileNotFoundError, match=rf"lit-adv pack {tmp_path} {tmp_path}-shards"):
        list_shards(str(tmp_path))


def test_a_folder_of_neither_is_refused_without_a_false_hint(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"holds no \.tar files$"):
        list_shards(str(tmp_path))


def test_two_shards_of_one_name_are_refused_with_both(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/a-000000.tar").touch()
    with pytest.raises(ValueError, match=r"/a-000000\.tar and .*/other/a-000000\.tar have the same name"):
        list_shards([f"{folder}/a-000000.tar", f"{folder}/other"])


def test_names_that_the_output_needs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.tar").touch()
    with pytest.raises(ValueError, match=r"manifest\.tar cannot be named 'manifest'"):
        list_shards(str(tmp_path))


def test_a_shell_command_is_refused() -> None:
    with pytest.raises(ValueError, match="would run a shell command"):
        list_shards("pipe:cat a.tar")
