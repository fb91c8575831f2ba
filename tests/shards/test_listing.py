"""From patterns to lists of shards."""

from pathlib import Path

import fsspec
import pytest

from lit_adv.shards.listing import file_name, list_shards, refuse_own_input, shard_name


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
    for name in ("manifest", "_failed-a"):
        (tmp_path / f"{name}.tar").touch()
        with pytest.raises(ValueError, match=rf"{name}\.tar cannot be named '{name}'"):
            list_shards(str(tmp_path / f"{name}.tar"))


def test_a_shell_command_is_refused() -> None:
    with pytest.raises(ValueError, match="would run a shell command"):
        list_shards("pipe:cat a.tar")


@pytest.mark.parametrize("name", ["run[1]", "what?", "all*", "{a,b}", "[ab]*{1..2}?"])
def test_a_path_that_exists_is_taken_literally(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for shard in (f"{name}-1.tar", "x-0.tar", "x-1.tar"):
        (tmp_path / name / shard).touch()
    assert list_shards(f"{tmp_path}/{name}/{name}-1.tar") == [f"{tmp_path}/{name}/{name}-1.tar"]
    assert len(list_shards(f"{tmp_path}/{name}")) == 3
    if "{" not in name:
        assert names(list_shards(f"{tmp_path}/{name}/x-*.tar")) == ["x-0.tar", "x-1.tar"]
        assert names(list_shards(f"{tmp_path}/{name}/x-{{0..1}}.tar")) == ["x-0.tar", "x-1.tar"]


def test_a_pattern_is_one_where_nothing_has_its_name(folder: Path) -> None:
    assert names(list_shards(f"{folder}/[a]-00000[01].tar")) == ["a-000000.tar", "a-000001.tar"]


def test_companions_of_shards_are_no_shards(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a-000000.json").touch()
    assert names(list_shards(f"{folder}/a-*")) == ["a-000000.tar", "a-000001.tar"]
    assert "a-* matches files that are no shards: a-000000.json" in caplog.text


def test_an_extension_in_capitals_is_one(tmp_path: Path) -> None:
    for name in ("1.TAR", "2.tar"):
        (tmp_path / name).touch()
    assert [shard_name(shard) for shard in list_shards(str(tmp_path))] == ["1", "2"]
    (tmp_path / "2.TAR").touch()
    with pytest.raises(ValueError, match="have the same name"):
        list_shards(str(tmp_path))


@pytest.mark.parametrize("name", ["b.tar.gz", "b.tgz", "b.TAR.xz", "b.tar.zst", "b.tar.bz2"])
@pytest.mark.parametrize("pattern", ["", "/*"])
def test_compressed_shards_are_never_left_out(tmp_path: Path, name: str, pattern: str) -> None:
    for file in ("a.tar", name, f"._{name}"):
        (tmp_path / file).touch()
    with pytest.raises(ValueError, match=rf"holds 1 compressed shards, for example {name}; decompress"):
        list_shards(f"{tmp_path}{pattern}")


def test_the_output_may_not_be_the_input_whichever_way_it_is_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "link").symlink_to(folder)
    (other / "a-000000.tar").symlink_to(folder / "a-000000.tar")
    monkeypatch.chdir(folder.parent)
    shards = list_shards(f"{folder}/a-*.tar")
    for output in (str(folder), f"{folder}/", f"file://{folder}", folder.name, f"{folder}/../{folder.name}/.",
                   f"{other}/link", f"{other}/link/"):  # fmt: skip
        with pytest.raises(ValueError, match=r"is the folder of the input shard .*a-00000\d\.tar; .*output\.path"):
            refuse_own_input(output, shards)
        with pytest.raises(ValueError, match="is the folder of the input shard"):
            refuse_own_input(output, [f"{other}/a-000000.tar"])
    for output in (str(folder / "out"), f"{folder}-out", str(folder.parent), "memory://x"):
        refuse_own_input(output, [*shards, "https://host.example/a.tar"])


@pytest.mark.parametrize("output", ["memory://same", "memory:///same", "memory://same/"])
def test_a_remote_output_may_not_be_the_input(output: str) -> None:
    fsspec.filesystem("memory").pipe_file("/same/x.tar", b"")
    with pytest.raises(ValueError, match="is the folder of the input shard"):
        refuse_own_input(output, list_shards("memory:///same"))
    refuse_own_input("memory://other", list_shards("memory:///same"))
