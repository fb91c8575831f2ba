"""The files of an evaluation's counts: what is written is read, and what is damaged is not."""

from itertools import product

import pytest

from lit_adv.shards.counts import ShardAnswers, ShardImages, counts_file

IMAGES = ShardImages(
    attack="mi/fgsm", shard="a-0.tar", made_with={"shard": {"sha256": "f" * 64, "tar_bytes": 10240}},
    keys=["n/1", "é"], labels=[3, 7], aims=None, linf=[16, 4], l2=[12345678, 0], clean=["0a", "0b"],
)  # fmt: skip
ANSWERS = ShardAnswers(
    attack="mi/fgsm", shard="a-0.tar", made_with={}, target="defense:rs(x)", predictions=[3, -1],
    clean_predictions=[3, 7],
)  # fmt: skip


@pytest.mark.parametrize("record", [IMAGES, ANSWERS])
def test_what_is_written_is_read(record: ShardImages | ShardAnswers) -> None:
    content = record.to_json()
    assert type(record).from_json(content) == record
    assert content.count(b"\n") == 1


@pytest.mark.parametrize("record", [IMAGES, ANSWERS])
def test_no_changed_character_goes_unnoticed(record: ShardImages | ShardAnswers) -> None:
    content = record.to_json()
    for place in range(len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match=r".*"):
            type(record).from_json(bytes(changed))


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"[]", b"3", b"{}", b"[" * 100_000, b'{"sha256": ""}'])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ShardAnswers.from_json(content)


def test_a_part_of_a_file_is_refused() -> None:
    content = ANSWERS.to_json()
    for length in range(len(content) - 2):
        with pytest.raises(ValueError, match=r".*"):
            ShardAnswers.from_json(content[:length])


def test_every_attack_shard_and_target_has_a_file_of_its_own() -> None:
    names = ["", "a", "a.b", "a/b", "a_b", ".", "é", "x" * 300, "x" * 299]
    places = list(product(names, names, [None, *names]))
    files = {counts_file(*place) for place in places}
    assert len(files) == len(places)
    assert all("/" not in file and not file.startswith(".") and len(file) < 250 for file in files)
