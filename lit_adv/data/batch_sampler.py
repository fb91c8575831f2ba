"""How processes and their data loader workers divide the batches of an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple

from torch.utils.data.distributed import DistributedSampler


class BatchIndex(NamedTuple):
    """Which batch to load.

    Attributes:
        epoch: The epoch, from 0.
        number: The batch's number in the epoch.
        repeated: Whether it is another process's, or was had already, and only keeps this process in step.
    """

    epoch: int
    number: int
    repeated: bool


class BatchSampler(DistributedSampler[Any]):
    """Gives each process a run of consecutive batches of the epoch, and all processes equally many.

    Processes under DDP wait for each other in each step, so one that has a batch less than the others repeats one. Each
    data loader worker gets consecutive batches, too, since these need the same shards. Both matter to speed alone: any
    batch can be loaded anywhere.

    The name of the base class tells Lightning that the sampler knows of the other processes, and to tell it the epoch.

    Args:
        batches: The data set, whose length is the number of batches in an epoch.
        rank: This process.
        world_size: How many processes there are.
        num_workers: This process's data loader workers.

    Attributes:
        epoch: The epoch, from 0; ``set_epoch`` sets it.
    """

    def __init__(self, batches: Sized, rank: int, world_size: int, num_workers: int) -> None:
        super().__init__(batches, num_replicas=world_size, rank=rank, shuffle=False)  # type: ignore[arg-type]
        count = len(batches)
        self._own = range(count * rank // world_size, count * (rank + 1) // world_size)
        self._steps = math.ceil(count / world_size)
        self._num_workers = num_workers
        self._taken = (0, num_workers)

    def skip(self, steps: int, num_workers: int) -> None:
        """Let the next iteration leave out the steps that were taken before a run was stopped within an epoch.

        Args:
            steps: How many; the epoch is the one they were taken in.
            num_workers: How many data loader workers there were, whose turns have ordered them.
        """
        self._taken = (steps, num_workers)

    def __iter__(self) -> Iterator[BatchIndex]:
        (steps, num_workers), self._taken = self._taken, (0, self._num_workers)
        for place in deal_runs(self._steps, num_workers)[steps:]:
            repeated = place >= len(self._own)
            number = max(self._own.stop - 1, 0) if repeated else self._own[place]
            yield BatchIndex(self.epoch, number, repeated)

    def __len__(self) -> int:
        return self._steps


def deal_runs(count: int, hands: int) -> list[int]:
    """Order the numbers below ``count`` so that dealing them out in turn gives each hand consecutive ones.

    Example:
        >>> deal_runs(7, 3)  # in turn, to three: 0 1 2, 3 4, 5 6
        [0, 3, 5, 1, 4, 6, 2]
    """
    hands = max(hands, 1)
    length, longer = divmod(count, hands)
    starts = [hand * length + min(hand, longer) for hand in range(hands)]
    return [starts[turn % hands] + turn // hands for turn in range(count)]
