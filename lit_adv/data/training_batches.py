"""Any batch of any epoch, read when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_adv.data.batch import TensorBatch
from lit_adv.data.batch_sampler import BatchIndex
from lit_adv.data.epoch import EpochPlan, count_batches
from lit_adv.data.streams import OpenShard, Stream, TrainSample
from lit_adv.randomness import keyed_generator
from lit_adv.shards.tar import SampleError


@dataclass(frozen=True)
class TrainBatch(TensorBatch):
    """Images of one training step, with one adversarial version of each where the shards have any.

    Attributes:
        clean: uint8 [B, 3, H, W], in channels_last layout.
        adversarial: uint8 [B, 3, H, W], cropped and flipped as ``clean`` is; None if the adversarial images of this
            batch are to be made against the model being trained, or if there are none.
        source: Name of the adversarial set that ``adversarial`` is from; ``self`` if it is None.
        labels: int64 [B], true classes.
        keys: The B samples' keys.
        weights: float32 [B]; 1, or 0 for an image that is only there to keep this process in step with the others, or
            every batch at the same size. All may be 0.
        left_out: The samples that should be here, but whose images cannot be decoded, and why.
    """

    clean: Tensor
    adversarial: Tensor | None
    source: str
    labels: Tensor
    keys: list[str]
    weights: Tensor
    left_out: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)


class TrainingBatches(Dataset[TrainBatch]):
    """The batches of any epoch.

    Shards stay open from the first batch that needs them to the last, so batches should be loaded in about their order.

    Args:
        streams: What is mixed, by name.
        takes: How many samples of a stream an epoch takes, if not each once, see :class:`EpochPlan`.
        batch_size: Images a batch.
        shuffle_buffer: How many places a sample may move, see :class:`EpochPlan`.
        seed: The user's seed.
        image_size: Side of the images, in pixels.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        takes: Mapping[str, int],
        batch_size: int,
        shuffle_buffer: int,
        seed: int,
        image_size: int,
    ) -> None:
        self._streams = streams
        self._takes = takes
        self._batch_size = batch_size
        self._shuffle_buffer = shuffle_buffer
        self._seed = seed
        self._blank = torch.zeros((3, image_size, image_size), dtype=torch.uint8)
        self._epoch = -1
        self._open: dict[tuple[str, str], OpenShard] = {}

    def __len__(self) -> int:
        return count_batches(self._counts, self._batch_size, self._takes)

    def __getitem__(self, index: BatchIndex) -> TrainBatch:
        if index.epoch != self._epoch:
            self._begin(index.epoch)
        stream_name, places = self._plan[index.number]
        stream = self._streams[stream_name]
        self._close(stream_name, index.number)
        source = self._draw_source(stream, index)
        samples, left_out = [], []
        for shard, number in places:
            try:
                samples.append(self._opened(stream_name, shard).read(number, source, index.epoch))
            except SampleError as error:
                left_out.append(str(error))
        # Only clean images can be unusable, and they have no adversarial version.
        repeated = index.repeated or not samples
        samples = samples or [TrainSample("", self._blank, None, 0)]
        return _collate(samples, source, self._batch_size, repeated, left_out)

    @property
    def _counts(self) -> dict[str, Mapping[str, int]]:
        return {name: stream.counts for name, stream in self._streams.items()}

    def _begin(self, epoch: int) -> None:
        for shard in self._open.values():
            shard.close()
        self._open = {}
        self._plan = EpochPlan(self._counts, self._batch_size, self._shuffle_buffer, self._seed, epoch, self._takes)
        self._epoch = epoch

    def _draw_source(self, stream: Stream, index: BatchIndex) -> str:
        generator = keyed_generator(self._seed, f"source in epoch {index.epoch}", str(index.number))
        return str(generator.choice(list(stream.shares), p=list(stream.shares.values())))

    def _opened(self, stream: str, shard: str) -> OpenShard:
        if (stream, shard) not in self._open:
            self._open[stream, shard] = self._streams[stream].open(shard)
        return self._open[stream, shard]

    def _close(self, stream: str, number: int) -> None:
        """Close the stream's shards that no batch needs from ``number`` on."""
        for name, shard in list(self._open):
            if name == stream and self._plan.is_over(shard, number):
                self._open.pop((name, shard)).close()


def _collate(
    samples: Sequence[TrainSample], source: str, batch_size: int, repeated: bool, left_out: list[str]
) -> TrainBatch:
    """Make a full batch of samples, some of which come again if there are too few."""
    full = [samples[number % len(samples)] for number in range(batch_size)]
    weights = torch.zeros(batch_size)
    if not repeated:
        weights[: len(samples)] = 1
    adversarial = [sample.adversarial for sample in full if sample.adversarial is not None]
    return TrainBatch(
        clean=_stack([sample.clean for sample in full]),
        adversarial=_stack(adversarial) if adversarial else None,
        source=source,
        labels=torch.tensor([sample.label for sample in full]),
        keys=[sample.key for sample in full],
        weights=weights,
        left_out=left_out,
    )


def _stack(images: list[Tensor]) -> Tensor:
    return torch.stack(images).contiguous(memory_format=torch.channels_last)
