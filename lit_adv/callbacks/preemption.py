"""Ending a generation run in order when its machine, or that of another of its processes, is taken away."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from lit_adv.errors import PreemptedError
from lit_adv.peers import LOST

logger = logging.getLogger(__name__)

GRACE_SECONDS = 25.0  # SLURM and Kubernetes kill 30 seconds after they ask, unless told otherwise


class PeerLostError(SystemExit):
    """Another process of the run is gone; this one exits with 1."""

    def __init__(self) -> None:
        super().__init__(1)


class StopOnSignal(Callback):
    """Stops the run when it is asked to by SIGTERM or SIGUSR1, and when another of its processes is lost.

    The processes that Lightning started are taken along.

    The batch under attack is dropped at once, whatever is queued for writing is written, shards that are whole by
    then are published, the rest is discarded. What hangs meanwhile, such as an upload, is cut short after
    :data:`GRACE_SECONDS`; publishing is atomic, so that harms no shard.

    Lightning's own handlers would not do: in the predict loop, SIGTERM only sets a flag that nobody reads, and with
    several processes its handler waits for all of them inside the handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ending: SystemExit | None = None
        self._process = os.getpid()
        self._launcher: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning, which gives them back when the run has ended."""
        self._process, self._ending = os.getpid(), None
        self._launcher = trainer.strategy.launcher
        for number in (signal.SIGTERM, signal.SIGUSR1, LOST):
            _set_handler(number, self._stop)

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop here if the exception was lost, as happens to one that is raised in a destructor."""
        if self._ending is not None:
            raise self._ending

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: without this one their work would end in waiting for it."""
        _set_handler(LOST, signal.SIG_IGN)  # the others leave, too; let this one write what is queued
        if self._ending is not None:
            reason = "asked to stop" if isinstance(self._ending, PreemptedError) else "lost another process"
            logger.warning("%s: finished shards are kept; run the same command again to make the others", reason)
        else:
            self._take_along(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Data loader workers inherit the handler.
        if self._ending is not None or os.getpid() != self._process:
            return
        self._ending = PeerLostError() if number == LOST else PreemptedError()
        self._take_along(number)
        watchdog = threading.Timer(GRACE_SECONDS, os._exit, [self._ending.code])
        watchdog.daemon = True
        watchdog.start()
        raise self._ending

    def _take_along(self, number: int) -> None:
        """Stop the processes that Lightning started; once, for a second signal may find its handler gone."""
        if not isinstance(self._launcher, _SubprocessScriptLauncher):
            return
        # Lightning would kill this process within five seconds of another's end, whatever is left to write.
        for thread in threading.enumerate():
            if isinstance(thread, _ChildProcessObserver):
                thread._child_processes = []
        for child in self._launcher.procs:
            child.send_signal(number)


def _set_handler(number: signal.Signals, handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Handle a signal, if this is the thread that may."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)
