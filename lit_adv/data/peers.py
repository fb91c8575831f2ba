"""The processes of one run. They work apart, keep in touch, and meet once, when each has finished."""

import logging
import os
import signal
import threading
import time
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: What a process that has lost another sends itself, for whoever can end the run in order.
LOST = signal.SIGUSR2

_PAUSE_SECONDS = 1.0


class Peers:
    """All processes of a run, this one among them. Every process must make one, at the same point.

    One process may have hours of work left when another has none. The connections of a process that dies are closed,
    but those of a host that falls silent look just like idle ones: the others would work on to the end of their
    shares, and then wait. So a thread of each process exchanges a word with all others every second until all have
    finished. When that fails, or has not succeeded for ``LIT_ADV_LOST_AFTER`` seconds (an environment variable, by
    default 60), the process sends itself :data:`LOST` if it has a handler for it, and :meth:`gather` raises.
    """

    def __init__(self) -> None:
        self._said: list[Any] = []
        self._heard: Future[list[Any]] = Future()
        self._distributed = dist.is_available() and dist.is_initialized()
        if self._distributed:
            patience = timedelta(seconds=float(os.environ.get("LIT_ADV_LOST_AFTER", "60")))
            # Gloo also where the devices speak NCCL: it waits without a device.
            group = dist.new_group(timeout=patience, backend="gloo")
            # No daemon: the interpreter would abort over a thread that comes back from gloo while it shuts down.
            threading.Thread(target=self._keep_in_touch, args=[group], name="peers").start()

    def gather(self, value: T) -> list[T]:
        """Wait for all processes.

        Args:
            value: What this process has to say; anything that pickles.

        Returns:
            What each process has to say, in the order of ranks.

        Raises:
            RuntimeError: If a process has died, or has not been heard of for too long.
        """
        if not self._distributed:
            return [value]
        self._said = [value]
        return self._heard.result()

    def _keep_in_touch(self, group: dist.ProcessGroup) -> None:
        said: list[list[Any]] = [[] for _ in range(dist.get_world_size(group))]
        try:
            while not all(said):
                time.sleep(_PAUSE_SECONDS)
                if not _in_touch_wanted():
                    return
                dist.all_gather_object(said, self._said, group=group)
        except (RuntimeError, ValueError) as error:  # ValueError: the group was destroyed meanwhile
            if _in_touch_wanted():
                self._lose(error)
        else:
            self._heard.set_result([value for [value] in said])

    def _lose(self, error: Exception) -> None:
        logger.error("another process of this run is lost: %s", error)
        main = threading.main_thread().ident
        if main is not None and callable(signal.getsignal(LOST)):
            signal.pthread_kill(main, LOST)
        self._heard.set_exception(RuntimeError(f"another process of this run is lost: {error}"))


def _in_touch_wanted() -> bool:
    """Whether this process has not begun to leave."""
    return dist.is_initialized() and threading.main_thread().is_alive()
