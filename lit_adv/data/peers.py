"""The processes of one run. They work apart and meet once, when each has finished."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")

#: One process may have hours of work left when another has none; torch's own limit is 30 minutes.
_PATIENCE = timedelta(days=30)
_LOOK_SECONDS = 0.2


class Peers:
    """All processes of a run, this one among them. Every process must make one, at the same point."""

    def __init__(self) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        # Gloo also where the devices speak NCCL: it waits without a device, and notices at once when a peer dies.
        self._group: dist.ProcessGroup | None = None
        if distributed:
            self._group = dist.new_group(timeout=_PATIENCE, backend="gloo")  # type: ignore[assignment]

    def gather(self, value: T, meanwhile: Callable[[], None] = lambda: None) -> list[T]:
        """Wait for all processes.

        Args:
            value: What this process has to say; anything that pickles.
            meanwhile: Called again and again until all processes are there.

        Returns:
            What each process has to say, in the order of ranks.

        Raises:
            RuntimeError: If a process has died.
        """
        if self._group is None:
            return [value]
        # Looking again and again also lets this process obey signals while it waits.
        arrival = dist.barrier(self._group, async_op=True)
        while not arrival.is_completed():
            meanwhile()
            time.sleep(_LOOK_SECONDS)
        arrival.wait()
        values: list[T | None] = [None] * dist.get_world_size(self._group)
        dist.all_gather_object(values, value, group=self._group)
        return values  # type: ignore[return-value]  # each process has filled in its own
