"""A board on which the processes of one run post how far they are, while they work."""

from __future__ import annotations

import logging
from typing import Any

import torch.distributed as dist

logger = logging.getLogger(__name__)


class Bulletin:
    """The latest note of each process; nobody waits for anybody.

    A collective would make the processes wait for each other, and hang where one has more batches than another. So
    notes go through the key-value store by which the processes of torch.distributed found each other: it is there
    under every launcher, needs no port or thread of its own, and setting a key or looking whether one is set takes a
    fraction of a millisecond. A store that has failed is not used again: what ends with it is the run, by other
    means, or nothing but the notes.

    Args:
        first: This process's first note. It replaces the one that a process of the same rank may have left behind
            before a restart, since torchrun's store outlives the processes.
    """

    def __init__(self, first: str) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        self._rank = dist.get_rank() if distributed else 0
        self._notes: list[str | None] = [None] * (dist.get_world_size() if distributed else 1)
        # Torch has no public name for it that all its versions share.
        self._store: Any = dist.distributed_c10d._get_default_store() if distributed else None
        self.post(first)

    def post(self, note: str) -> None:
        """Replace this process's note."""
        self._notes[self._rank] = note
        if self._store is not None:
            try:
                self._store.set(_key(self._rank), note)
            except RuntimeError as error:
                self._give_up(error)

    def read(self) -> list[str | None]:
        """Return the latest known note of each process in the order of ranks; None where there has not been any."""
        for rank in range(len(self._notes)):
            if rank != self._rank and self._store is not None:
                try:
                    if self._store.check([_key(rank)]):
                        self._notes[rank] = self._store.get(_key(rank)).decode()
                except RuntimeError as error:
                    self._give_up(error)
        return list(self._notes)

    def _give_up(self, error: RuntimeError) -> None:
        logger.warning("no more news of the other processes until all have ended: %s", error)
        self._store = None


def _key(rank: int) -> str:
    return f"lit_adv/bulletin/{rank}"
