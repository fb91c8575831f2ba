"""The images that tables are over."""

import json
from pathlib import Path

import pytest

from lit_adv.errors import MendableError
from lit_adv.reproduction.selection import choose, count_samples, describe, read_selection
from lit_adv.shards.job import ConfigMismatchError
from lit_adv.shards.tar import index_samples, read_sample
from tests.tiny_shards import MakeShard


def answer(folder: Path, wrong: dict[str, list[int]]) -> None:
    """Write what two models say of two shards: label 1, but for the keys and models given."""
    samples = [
        [shard, key, 1, [0 if model in wrong.get(key, []) else 1 for model in (0, 1)]]
        for shard, keys in (("a", range(3)), ("b", range(10, 12)))
        for key in (f"{number:04d}" for number in keys)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    content = {"models": ["one", "two"], "images": 5, "samples": samples}
    (folder / "clean.json").write_text(json.dumps(content))


@pytest.fixture
def shards(make_shard: MakeShard) -> str:
    make_shard("in/a.tar", 3)
    return str(make_shard("in/b.tar", 2, first=10).parent)


def contents(shard: Path) -> dict[str, dict[str, bytes]]:
    with shard.open("rb") as file:
        return {sample.key: read_sample(file, sample) for sample in index_samples(file, str(shard))}


def test_the_images_are_those_that_all_models_know_byte_for_byte(shards: str, tmp_path: Path) -> None:
    answer(tmp_path / "out", {"0001": [0], "0002": [1]})
    record = choose(shards, tmp_path / "out", "correct", None)
    chosen = contents(tmp_path / "out/shards/a.tar") | contents(tmp_path / "out/shards/b.tar")
    assert list(chosen) == ["0000", "0010", "0011"]
    clean = contents(Path(shards) / "a.tar") | contents(Path(shards) / "b.tar")
    assert all(chosen[key] == clean[key] for key in chosen)
    assert read_selection(tmp_path / "out") == record
    assert describe(record) == "3 of 5 images: those that one, two all classify correctly when they are clean."
    assert count_samples(str(tmp_path / "out/shards")) == 3
    answer(tmp_path / "first", {"0001": [0]})
    assert describe(choose(shards, tmp_path / "first", "correct", 2)).startswith(
        "2 of 5 images: the first of the 4 that one, two all classify correctly"
    )


def test_the_first_few_may_do_and_a_shard_without_any_is_left_out(shards: str, tmp_path: Path) -> None:
    record = choose(shards, tmp_path / "out", "all", 2)
    assert [path.name for path in (tmp_path / "out/shards").glob("*.tar")] == ["a.tar"]
    assert describe(record) == "2 of 5 images, whether the models know them or not."


def test_choosing_goes_on_where_it_was_and_keeps_what_is_there(shards: str, tmp_path: Path) -> None:
    choose(shards, tmp_path / "out", "all", None)
    (tmp_path / "out/shards/b.tar").unlink()
    before = (tmp_path / "out/shards/a.tar").stat()
    choose(shards, tmp_path / "out", "all", None)
    assert (tmp_path / "out/shards/a.tar").stat() == before
    assert list(contents(tmp_path / "out/shards/b.tar")) == ["0010", "0011"]


def test_a_folder_keeps_its_choice(shards: str, tmp_path: Path) -> None:
    choose(shards, tmp_path / "out", "all", None)
    with pytest.raises(ConfigMismatchError, match="images: 5 there, 2 now"):
        choose(shards, tmp_path / "out", "all", 2)


def test_that_no_image_is_left_is_an_error(shards: str, tmp_path: Path) -> None:
    answer(tmp_path / "out", {f"{number:04d}": [1] for number in (0, 1, 2, 10, 11)})
    with pytest.raises(
        MendableError, match=r"not one of 5 images is classified correctly by all of one, two.*--selection"
    ):
        choose(shards, tmp_path / "out", "correct", None)
