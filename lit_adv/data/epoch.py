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


def count_batches(streams: Mapping[str, Mapping[str, int]], batch_size: int, takes: Mapping[str, int] = {}) -> int:
    """Return how many batches an epoch has; see :class:`EpochPlan` for the arguments."""
    return sum(math.ceil(takes.get(name, sum(counts.values())) / batch_size) for name, counts in streams.items())


class EpochPlan:
    """The batches of one epoch, by their number: each sample of each stream is in exactly one, unless told otherwise.

    A stream's shards are shuffled, and so are the samples of neighboring shards; then they are cut into batches. The
    batches of all streams are mixed at random, each stream's in their order. So batches with neighboring numbers need
    the same few shards.

    A stream of which epochs take a given number of samples goes round its shards in one order: each epoch begins where
    the one before ended. So no sample comes again before all others have come, and none twice in an epoch that takes no
    more than there are.

    Args:
        streams: How many samples each shard holds, by its name, for each stream.
        batch_size: Samples a batch; the last batch of each stream may be smaller.
        shuffle_buffer: A sample moves by less than this many places from where the order of shards puts it.
        seed: The user's seed.
        epoch: The epoch, from 0.
        takes: How many samples an epoch takes of a stream, by the stream's name; of others it has each sample once.
    """

    def __init__(
        self,
        streams: Mapping[str, Mapping[str, int]],
        batch_size: int,
        shuffle_buffer: int,
        seed: int,
        epoch: int,
        takes: Mapping[str, int] = {},
    ) -> None:
        self._batch_size = batch_size
        self._streams = {}
        for name, counts in streams.items():
            moves = shards = keyed_generator(seed, f"order of {name}", str(epoch))
            part = range(sum(counts.values()))
            if name in takes:
                shards = keyed_generator(seed, f"order of {name}", "all epochs")
                part = range(epoch * takes[name], (epoch + 1) * takes[name])
            self._streams[name] = _ShuffledStream(counts, part, shuffle_buffer, shards, moves)
        batches = [count_batches({name: counts}, batch_size, takes) for name, counts in streams.items()]
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
        """Tell whether a batch and those near it hold no sample of some shard of the same stream.

        If the shard has been needed, it will not be again; unless the epoch goes round the shards more than once.

        Args:
            shard: The shard's name.
            number: The batch's number.
        """
        start = self._start(number)
        stream = self._streams[self._names[self._stream_of[number]]]
        return stream.is_over(shard, start, start + self._batch_size)

    def _start(self, number: int) -> int:
        return int(self._number_within[number]) * self._batch_size


class _ShuffledStream:
    """Samples of shards in a random order in which none has moved far.

    Args:
        counts: How many samples each shard holds, by its name.
        part: Which samples, by their places if the shards came again and again in the same order.
        shuffle_buffer: A sample moves by less than this many places.
        shards: Draws the order of the shards.
        moves: Draws how samples move.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        part: range,
        shuffle_buffer: int,
        shards: np.random.Generator,
        moves: np.random.Generator,
    ) -> None:
        names = sorted(counts)
        self._counts = counts
        self._samples = sum(counts.values())
        self._first = part.start
        self._shards = [names[i] for i in shards.permutation(len(names))]
        self._ends = np.cumsum([counts[name] for name in self._shards])
        self._starts = self._ends - [counts[name] for name in self._shards]
        self._end_of = dict(zip(self._shards, self._ends.tolist(), strict=True))
        self._shuffle_buffer = shuffle_buffer
        # To sort by "place plus a random number below b" moves everything by less than b places: a shuffle buffer
        # whose order is known before anything has been read.
        places = np.arange(len(part))
        order = np.argsort(places + moves.uniform(0, shuffle_buffer, len(places)), kind="stable")
        self._order = (part.start + order) % max(self._samples, 1)

    def places(self, start: int, stop: int) -> list[Place]:
        positions = self._order[start:stop]
        shards = np.searchsorted(self._ends, positions, side="right")
        numbers = positions - self._starts[shards]
        return [Place(self._shards[shard], int(number)) for shard, number in zip(shards, numbers, strict=True)]

    def is_over(self, shard: str, start: int, stop: int) -> bool:
        # All that can move to between start and stop must fit between the shard's end and when it comes again.
        near = self._first + start - self._shuffle_buffer
        passed: int = (near - self._end_of[shard]) % self._samples
        return passed + stop - start + 2 * self._shuffle_buffer <= self._samples - self._counts[shard]
