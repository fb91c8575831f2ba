"""What every batch can do."""

import pickle
from multiprocessing.reduction import ForkingPickler

import torch

from lit_adv.data.batch import ImageBatch


def small_batch() -> ImageBatch:
    return ImageBatch(
        images=torch.zeros(2, 3, 4, 4, dtype=torch.uint8).contiguous(memory_format=torch.channels_last),
        labels=torch.tensor([1, 2]),
        keys=["a", "b"],
        shard="s.tar",
        shard_samples=2,
        last=True,
    )


def test_moving_a_batch_moves_its_tensors_and_nothing_else() -> None:
    batch = small_batch()
    moved = batch.to("meta", non_blocking=True)
    assert isinstance(moved, ImageBatch)
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    assert moved.targets is None
    assert (moved.keys, moved.shard, moved.shard_samples, moved.last) == (["a", "b"], "s.tar", 2, True)
    assert batch.images.device.type == "cpu"


def test_a_batch_comes_out_of_another_process_as_it_went_in_and_shares_its_images_alone() -> None:
    batch = small_batch()
    sent = bytes(ForkingPickler.dumps(batch))
    received: ImageBatch = pickle.loads(sent)  # noqa: S301 - its own bytes
    assert sent.count(b"rebuild_storage") == 1
    assert torch.equal(received.images, batch.images)
    assert received.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(received.labels, batch.labels)
    assert received.labels.dtype == torch.int64
    assert (received.keys, received.targets, received.last) == (batch.keys, None, True)
