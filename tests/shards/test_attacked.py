"""What a consumer of adversarial shards is told about a folder."""

import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lit_adv.shards import remote
from lit_adv.shards.attacked import DamagedShardsError, check_shards, open_attacked
from tests.tiny_attacks import SHARD_SIZES, make_attacked


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_attacked(tmp_path_factory.mktemp("attacked"), "adversarial")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "adversarial"))


def test_a_finished_folder_tells_what_made_it_and_what_it_holds(finished: Path) -> None:
    attacked = open_attacked(str(finished))
    assert attacked.config["model"]["attack"] == "mi_fgsm"
    assert [record.samples for record in attacked.shards.values()] == list(SHARD_SIZES)
    check_shards(attacked, checksums=True)


def test_a_folder_that_is_none_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"make them: lit-adv generate --output\.path {tmp_path}"):
        open_attacked(str(tmp_path))


def test_an_unfinished_folder_says_how_far_it_is_and_how_to_complete_it(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "tiny-000001.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 3 shards are done; run the same generate command again"):
        open_attacked(str(folder))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"shards": [1]}', '{"shards": [], "config": 1}', '{"shards": {"a": 1}}']
)
def test_a_damaged_manifest_is_named_with_the_remedy(content: str, folder: Path) -> None:
    (folder / "manifest.json").write_text(content)
    message = rf"the manifest\.json of {folder} is damaged .*; run lit-adv verify {folder} --repair and"
    with pytest.raises(ValueError, match=message):
        open_attacked(str(folder))


def test_a_shard_that_is_cut_off_or_missing_is_named(folder: Path) -> None:
    whole = (folder / "tiny-000001.tar").read_bytes()
    (folder / "tiny-000001.tar").write_bytes(whole[: len(whole) // 2])
    (folder / "tiny-000002.tar").unlink()
    with pytest.raises(DamagedShardsError, match="2 of 3 shards") as error:
        check_shards(open_attacked(str(folder)))
    assert f"tiny-000001.tar: {len(whole) // 2} bytes instead of {len(whole)}" in str(error.value)
    assert "tiny-000002.tar: missing" in str(error.value)
    assert f"run lit-adv verify {folder} --repair and the same generate command again" in str(error.value)


def test_a_changed_byte_is_found_by_the_checksum(folder: Path) -> None:
    content = bytearray((folder / "tiny-000000.tar").read_bytes())
    content[600] ^= 1
    (folder / "tiny-000000.tar").write_bytes(content)
    check_shards(open_attacked(str(folder)))
    with pytest.raises(DamagedShardsError, match=r"tiny-000000\.tar: SHA-256 \w{64} instead of \w{64}"):
        check_shards(open_attacked(str(folder)), checksums=True)


def test_sizes_are_listed_again_when_remote_storage_fails_for_a_moment(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").put(str(finished), "/attacked", recursive=True)
    attacked = open_attacked("memory://attacked")
    faults = [ConnectionResetError("reset"), TimeoutError("late")]
    listing = MemoryFileSystem.ls

    def fail_twice(*arguments: Any, **settings: Any) -> Any:
        if faults:
            raise faults.pop()
        return listing(*arguments, **settings)

    monkeypatch.setattr(MemoryFileSystem, "ls", fail_twice)
    monkeypatch.setattr(remote, "wait_random_exponential", lambda **_: lambda state: 0.0)
    check_shards(attacked)
    assert not faults
