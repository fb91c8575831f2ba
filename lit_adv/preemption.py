"""Ending a generation run in order when its machine is taken away."""

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

logger = logging.getLogger(__name__)

EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again
GRACE_SECONDS = 25.0  # SLURM and Kubernetes kill 30 seconds after they ask, unless told otherwise


class PreemptedError(SystemExit):
    """The run was asked to stop; it exits with :data:`EXIT_STATUS`."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


class StopOnSignal(Callback):
    """Stops the run on SIGTERM and SIGUSR1, and takes the processes that Lightning started along.

    The batch under attack is dropped at once, whatever is queued for writing is written, shards that are whole by
    then are published, the rest is discarded. What hangs meanwhile, such as an upload, is cut short after
    :data:`GRACE_SECONDS`; publishing is atomic, so that harms no shard.

    Lightning's own handlers would not do: in the predict loop, SIGTERM only sets a flag that nobody reads, and with
    several processes its handler waits for all of them inside the handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stopping = False
        self._process = os.getpid()
        self._launcher: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning, which gives them back when the run has ended."""
        self._process, self._stopping = os.getpid(), False
        self._launcher = trainer.strategy.launcher
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, self._stop)

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop here if the exception was lost, as happens to one that is raised in a destructor."""
        if self._stopping:
            raise PreemptedError

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: without this one their work would end in waiting for it."""
        if isinstance(exception, PreemptedError):
            logger.warning("asked to stop: finished shards are kept; run the same command again to make the others")
        self._pass_on(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Data loader workers inherit the handler.
        if self._stopping or os.getpid() != self._process:
            return
        self._stopping = True
        self._pass_on(number)
        watchdog = threading.Timer(GRACE_SECONDS, os._exit, [EXIT_STATUS])
        watchdog.daemon = True
        watchdog.start()
        raise PreemptedError

    def _pass_on(self, number: int) -> None:
        if isinstance(self._launcher, _SubprocessScriptLauncher):
            for child in self._launcher.procs:
                child.send_signal(number)
