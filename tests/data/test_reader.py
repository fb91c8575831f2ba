"""From shards to batches."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from lit_adv.data.batch import ImageBatch
from lit_adv.data.decoder import Decoder
from lit_adv.data.reader import read_batches
from lit_adv.shards.listing import list_shards
from tests import tiny_shards

DECODER = Decoder(image_size=16, resize=18, num_classes=10)
MakeShard = Callable[..., Path]


def read(shards: list[str], batch_size: int = 3, workers: int = 0) -> list[ImageBatch]:
    return list(DataLoader(read_batches(shards, DECODER, batch_size), batch_size=None, num_workers=workers))


def test_batches_are_consecutive_and_never_cross_a_shard(two_shards: str) -> None:
    batches = read(list_shards(two_shards))
    assert [[int(key) for key in batch.keys] for batch in batches] == [
        [0, 1, 2], [3, 4, 5], [6], [100, 101, 102], [103],
    ]  # fmt: skip
    assert [batch.last for batch in batches] == [False, False, True, False, True]
    assert [batch.shard_samples for batch in batches] == [7, 7, 7, 4, 4]
    for batch in batches:
        assert batch.images.shape == (len(batch), 3, 16, 16)
        assert batch.labels.tolist() == [int(key) % 10 for key in batch.keys]
        assert (batch.skipped, batch.targets, batch.error) == ([], None, None)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(broken=st.sets(st.integers(0, 8)), batch_size=st.integers(1, 10))
def test_every_sample_is_read_or_skipped_exactly_once_in_order(
    broken: set[int], batch_size: int, make_shard: MakeShard
) -> None:
    files = tiny_shards.sample_files(9)
    for number in broken:
        files[f"{number:04d}.cls"] = b"?"
    batches = read([str(make_shard(files=files))], batch_size)
    usable = [number for number in range(9) if number not in broken]
    expected = [usable[start : start + batch_size] for start in range(0, len(usable), batch_size)]
    assert [[int(key) for key in batch.keys] for batch in batches if batch.keys] == expected
    assert [int(sample.key) for batch in batches for sample in batch.skipped] == sorted(broken)
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]


def test_workers_change_neither_batches_nor_their_content(make_shard: MakeShard) -> None:
    shards = [str(make_shard(f"in/s{number}.tar", 5, first=10 * number)) for number in range(3)]
    alone = {(batch.shard, *batch.keys): batch for batch in read(shards)}
    for workers in (1, 2):
        batches = read(shards, workers=workers)
        assert len(batches) == len(alone)
        for batch in batches:
            assert torch.equal(batch.images, alone[(batch.shard, *batch.keys)].images)


def test_environment_variables_do_not_divide_the_shards(two_shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORKER": "0", "NUM_WORKERS": "2", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert sum(map(len, read(list_shards(two_shards)))) == 11


def test_bad_samples_are_skipped_with_their_reason(make_shard: MakeShard) -> None:
    good = tiny_shards.image_file()
    files = {
        "corrupt.jpg": good[: len(good) // 2], "corrupt.cls": b"1",
        "good.jpg": good, "good.cls": b"1",
        "lonely.jpg": good,
        "range.jpg": good, "range.cls": b"10",
        "text.txt": b"hello",
    }  # fmt: skip
    [batch] = read([str(make_shard(files=files))], batch_size=9)
    assert batch.keys == ["good"]
    reasons = {sample.key: sample.reason for sample in batch.skipped}
    assert list(reasons) == ["corrupt", "lonely", "range", "text"]
    assert reasons["corrupt"].startswith("cannot decode its jpg")
    assert reasons["lonely"] == "no class index: there is no cls file"
    assert reasons["range"] == "cls 10 is not in [0, 10)"
    assert batch.shard_samples == 5


def test_a_key_that_comes_again_is_skipped(make_shard: MakeShard) -> None:
    good = tiny_shards.image_file()
    files = {"a.jpg": good, "a.cls": b"1", "b.jpg": good, "b.cls": b"2", "a.png": good}
    [batch] = read([str(make_shard(files=files))])
    assert batch.keys == ["a", "b"]
    [(key, reason)] = batch.skipped
    assert key == "a"
    assert reason.startswith(
        "the shard has a sample of this key already; if its files stand apart in the tar, write it"
    )


def test_a_shard_of_unusable_samples_ends_in_an_empty_batch(make_shard: MakeShard) -> None:
    [batch] = read([str(make_shard(files={"a.cls": b"1", "b.cls": b"2"}))])
    assert (len(batch), batch.last, batch.images.shape, len(batch.skipped)) == (0, True, (0, 3, 16, 16), 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_off_shard_fails_alone_and_before_any_of_its_images(make_shard: MakeShard, workers: int) -> None:
    cut, empty, whole = (make_shard(f"in/{name}.tar") for name in ("cut", "empty", "whole"))
    cut.write_bytes(cut.read_bytes()[:4096])
    empty.write_bytes(b"")
    missing = cut.with_name("missing.tar")
    batches = read([str(path) for path in (cut, empty, missing, whole)], workers=workers)
    failed = {batch.shard: batch for batch in batches if batch.error is not None}
    reasons = {str(cut): "it is cut off", str(empty): "it is empty", str(missing): "[Errno 2] No such file"}
    assert {shard: str(batch.error)[: len(reasons[shard])] for shard, batch in failed.items()} == reasons
    for batch in failed.values():
        assert (len(batch), batch.last, batch.images.shape) == (0, True, (0, 3, 16, 16))
    assert [key for batch in batches for key in batch.keys] == ["0000", "0001", "0002", "0003"]


def test_remote_shards_give_the_same_batches(make_shard: MakeShard) -> None:
    path = make_shard()
    fsspec.filesystem("memory").pipe_file("/remote.tar", path.read_bytes())
    local, remote = read([str(path)]), read(["memory:///remote.tar"])
    assert [batch.keys for batch in remote] == [batch.keys for batch in local]
    assert all(torch.equal(a.images, b.images) for a, b in zip(remote, local, strict=True))


def test_targets_come_with_the_batch(make_shard: MakeShard) -> None:
    files = {"a.jpg": tiny_shards.image_file(), "a.cls": b"1", "a.json": b'{"goal": 3}'}
    decoder = Decoder(image_size=16, resize=18, target_field="goal")
    [batch] = read_batches([str(make_shard(files=files))], decoder, 2)
    assert batch.targets is not None
    assert batch.targets.tolist() == [3]


def test_no_shards_give_no_batches_and_there_is_no_length() -> None:
    batches = read_batches([], DECODER, 2)
    assert list(batches) == []
    assert not hasattr(batches, "__len__")


def test_an_empty_shard_gives_one_empty_batch(make_shard: MakeShard) -> None:
    [batch] = read([str(make_shard(files={}))])
    assert (len(batch), batch.last, batch.shard_samples, batch.skipped, batch.error) == (0, True, 0, [], None)


def test_two_images_in_a_sample_are_refused_by_their_names_unless_one_is_chosen(make_shard: MakeShard) -> None:
    black, white = (tiny_shards.encode(Image.new("RGB", (20, 20), color)) for color in ("black", "white"))
    files = {
        "a.cls": b"1", "a.jpg": black, "a.png": white,
        "b.cls": b"2", "b.left.png": black, "b.right.png": white,
        "c.clean.png": black, "c.cls": b"3", "c.png": white,
        "d.cls": b"4", "d.view.png": black,
    }  # fmt: skip
    shard = str(make_shard(files=files))
    [batch] = read([shard], batch_size=9)
    assert batch.keys == ["c"]
    assert batch.images.min() == 255
    assert dict(batch.skipped) == {
        "a": "more than one image: jpg, png; choose one, as by data.image_field jpg",
        "b": "more than one image: left.png, right.png; choose one, as by data.image_field left.png",
        "d": "no image of a plain extension: view.png; choose one, as by data.image_field view.png",
    }
    for field, keys, level in (("png", ["a", "c"], 255), ("left.png", ["b"], 0), ("right.png", ["b"], 255)):
        decoder = Decoder(image_size=16, resize=18, num_classes=10, image_field=field)
        [batch] = read_batches([shard], decoder, 9)
        assert batch.keys == keys
        assert (batch.images == level).all()
        assert batch.skipped[-1].reason == f"no image: there is no {field} file"
    with pytest.raises(ValueError, match=r"image_field must be an extension in lower case, such as .*'\.png'"):
        Decoder(image_field=".png")


def test_why_a_sample_of_dotted_names_has_no_label_is_said(make_shard: MakeShard) -> None:
    [batch] = read([str(make_shard(files={"a.v2.jpg": tiny_shards.image_file(), "a.label.txt": b"1"}))])
    assert [reason for _, reason in batch.skipped] == [
        "no class index: there is no cls file, but label.txt, v2.jpg: a sample's files are named alike up to the first "
        "dot"
    ]
