"""What the batches of an epoch hold: a pure function of the seed, the epoch and the shards' sample counts.

The number of processes, of data loader workers or of restarts has no part in it, so any process can work out any batch
without reading a byte, and dividing an epoch means dividing the numbers of its batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lit_adv.randomness import keyed_generator


class Place(NamedTuple):
    """Where a sample is.

    Attributes:
        shard: Its shard's name.
        number: Its number in the shard, from 0.
    """

    shard: str
    number: int


class PlannedBatch(NamedTuple):
    """A batch before anything is read.

    Attributes:
        stream: Name of the stream that all its samples are from.
        places: Where its samples are.
    """

    stream: str
    places: list[Place]


def count_batches(streams: Mapping[str, Mapping[str, int]], batch_size: int) -> int:
    """Return how many batches an epoch has; see :class:`EpochPlan` for the arguments."""
    return sum(math.ceil(sum(counts.values()) / batch_size) for counts in streams.values())


class EpochPlan:
    """The batches of one epoch, by their number: each sample of each stream is in exactly one of them.

    A stream's shards are shuffled, and so are the samples of neighboring shards; then they are cut into batches. The
    batches of all streams are mixed at random, each stream's in their order. So batches with neighboring numbers need
    the same few shards.

    Args:
        streams: How many samples each shard holds, by its name, for each stream.
        batch_size: Samples a batch; the last batch of each stream may be smaller.
        shuffle_buffer: A sample moves by less than this many places from where the order of shards puts it.
        seed: The user's seed.
        epoch: The epoch, from 0.
    """

    def __init__(
        self, streams: Mapping[str, Mapping[str, int]], batch_size: int, shuffle_buffer: int, seed: int, epoch: int
    ) -> None:
        self._batch_size = batch_size
        self._streams = {
            name: _ShuffledStream(counts, shuffle_buffer, keyed_generator(seed, f"order of {name}", str(epoch)))
            for name, counts in streams.items()
        }
        batches = [count_batches({name: counts}, batch_size) for name, counts in streams.items()]
        self._names = list(streams)
        mixed = keyed_generator(seed, "order of streams", str(epoch)).permutation(
            np.repeat(range(len(batches)), batches)
        )
        self._stream_of = mixed
        self._number_within = np.empty_like(mixed)
        for stream, count in enumerate(batches):
            self._number_within[mixed == stream] = np.arange(count)

    def __len__(self) -> int:
        return len(self._stream_of)

    def __getitem__(self, number: int) -> PlannedBatch:
        name = self._names[self._stream_of[number]]
        start = self._start(number)
        return PlannedBatch(name, self._streams[name].places(start, start + self._batch_size))

    def is_over(self, shard: str, number: int) -> bool:
        """Tell whether neither a batch nor a later one holds a sample of some shard of the same stream.

        Args:
            shard: The shard's name.
            number: The batch's number.
        """
        return self._streams[self._names[self._stream_of[number]]].is_over(shard, self._start(number))

    def _start(self, number: int) -> int:
        return int(self._number_within[number]) * self._batch_size


class _ShuffledStream:
    """Samples of shards in a random order in which none has moved far."""

    def __init__(self, counts: Mapping[str, int], shuffle_buffer: int, generator: np.random.Generator) -> None:
        names = sorted(counts)
        self._shards = [names[i] for i in generator.permutation(len(names))]
        self._ends = np.cumsum([counts[name] for name in self._shards])
        self._starts = self._ends - [counts[name] for name in self._shards]
        self._end_of = dict(zip(self._shards, self._ends.tolist(), strict=True))
        self._shuffle_buffer = shuffle_buffer
        # To sort by "place plus a random number below b" moves everything by less than b places: a shuffle buffer
        # whose order is known before anything has been read.
        places = np.arange(sum(counts.values()))
        self._order = np.argsort(places + generator.uniform(0, shuffle_buffer, len(places)), kind="stable")

    def places(self, start: int, stop: int) -> list[Place]:
        positions = self._order[start:stop]
        shards = np.searchsorted(self._ends, positions, side="right")
        numbers = positions - self._starts[shards]
        return [Place(self._shards[shard], int(number)) for shard, number in zip(shards, numbers, strict=True)]

    def is_over(self, shard: str, start: int) -> bool:
        return bool(start >= self._end_of[shard] + self._shuffle_buffer)
