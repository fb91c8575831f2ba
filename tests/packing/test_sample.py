"""The sample images."""

from pathlib import Path

import pytest

from lit_adv.data.decoder import Decoder
from lit_adv.data.reader import read_batches
from lit_adv.packing import sample
from lit_adv.shards.listing import list_shards


def test_the_sample_is_twenty_labeled_images_in_two_shards(tmp_path: Path) -> None:
    pytest.importorskip("foolbox")
    for _ in range(2):
        assert sample.pack_foolbox_sample(str(tmp_path)) == str(tmp_path)
    shards = list_shards(str(tmp_path))
    batches = list(read_batches(shards, Decoder(), 16))
    assert [len(batch) for batch in batches] == [10, 10]
    assert [batch.skipped for batch in batches] == [[], []]
    for batch in batches:
        assert [int(key.rsplit("_", 1)[1]) for key in batch.keys] == batch.labels.tolist()


def test_a_missing_foolbox_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install foolbox"):
        sample.pack_foolbox_sample(str(tmp_path))
