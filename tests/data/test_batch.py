"""What every batch can do."""

import torch

from lit_adv.data.batch import ImageBatch


def test_moving_a_batch_moves_its_tensors_and_nothing_else() -> None:
    batch = ImageBatch(
        images=torch.zeros(2, 3, 4, 4, dtype=torch.uint8).contiguous(memory_format=torch.channels_last),
        labels=torch.tensor([1, 2]),
        keys=["a", "b"],
        shard="s.tar",
        shard_samples=2,
        last=True,
    )
    moved = batch.to("meta", non_blocking=True)
    assert isinstance(moved, ImageBatch)
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    assert moved.targets is None
    assert (moved.keys, moved.shard, moved.shard_samples, moved.last) == (["a", "b"], "s.tar", 2, True)
    assert batch.images.device.type == "cpu"
