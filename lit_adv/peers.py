"""The processes of one run. They work apart, keep in touch, and meet once, when each has finished."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar

import torch.distributed as dist

Note = TypeVar("Note")
T = TypeVar("T")

logger = logging.getLogger(__name__)

#: What a process that has lost another sends itself, for whoever can end the run in order.
LOST = signal.SIGUSR2

_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.2


class _Word(NamedTuple):
    """What a process tells the others once in a while."""

    note: Any
    said: list[Any]  # one value, once the process has finished


class Peers(Generic[Note]):
    """All processes of a run, this one among them. Every process must make one, at the same point.

    One process may have hours of work left when another has none. The connections of a process that dies are closed,
    but those of a host that falls silent look just like idle ones: the others would work on to the end of their
    shares, and then wait. So a thread of each process exchanges a word with all others every second until all have
    finished. When that fails, or has not succeeded for ``LIT_ADV_LOST_AFTER`` seconds (an environment variable, by
    default 60), the process sends itself :data:`LOST` if it has a handler for it, and :meth:`gather` raises.

    The same words carry a note of each process's choice, such as how far it is. The work waits for none of them.

    Args:
        note: This process's first note; anything that pickles.
    """

    def __init__(self, note: Note) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        self._rank = dist.get_rank() if distributed else 0
        self._size = dist.get_world_size() if distributed else 1
        self._own = _Word(note, [])
        self._words: list[_Word | None] = [None] * self._size
        self._heard: Future[list[Any]] = Future()
        if distributed:
            patience = timedelta(seconds=float(os.environ.get("LIT_ADV_LOST_AFTER", "60")))
            # Gloo also where the devices speak NCCL: it waits without a device.
            group = dist.new_group(timeout=patience, backend="gloo")
            # No daemon: the interpreter would abort over a thread that comes back from gloo while it shuts down.
            threading.Thread(target=self._keep_in_touch, args=[group], name="peers").start()

    def post(self, note: Note) -> None:
        """Replace this process's note."""
        self._own = self._own._replace(note=note)

    @property
    def notes(self) -> list[Note | None]:
        """The latest known note of each process, in the order of ranks; None where there has not been any."""
        notes = [None if word is None else word.note for word in self._words]
        notes[self._rank] = self._own.note
        return notes

    def gather(self, value: T, meanwhile: Callable[[], None] = lambda: None) -> list[T]:
        """Wait for all processes.

        Args:
            value: What this process has to say; anything that pickles.
            meanwhile: Called again and again until all processes are there.

        Returns:
            What each process has to say, in the order of ranks.

        Raises:
            RuntimeError: If a process has died, or has not been heard of for too long.
        """
        if self._size == 1:
            return [value]
        self._own = self._own._replace(said=[value])
        while not wait([self._heard], _LOOK_SECONDS).done:
            meanwhile()
        return self._heard.result()

    def _keep_in_touch(self, group: dist.ProcessGroup) -> None:
        words: list[Any] = [_Word(None, [])] * self._size
        try:
            while not all(word.said for word in words):
                time.sleep(_PAUSE_SECONDS)
                if not _in_touch_wanted():
                    return
                dist.all_gather_object(words, self._own, group=group)
                self._words = list(words)
        except (RuntimeError, ValueError) as error:  # ValueError: the group was destroyed meanwhile
            if _in_touch_wanted():
                self._lose(error)
        else:
            self._heard.set_result([value for word in words for value in word.said])

    def _lose(self, error: Exception) -> None:
        logger.error("another process of this run is lost: %s", error)
        main = threading.main_thread().ident
        if main is not None and callable(signal.getsignal(LOST)):
            signal.pthread_kill(main, LOST)
        self._heard.set_exception(RuntimeError(f"another process of this run is lost: {error}"))


def _in_touch_wanted() -> bool:
    """Whether this process has not begun to leave."""
    return dist.is_initialized() and threading.main_thread().is_alive()
