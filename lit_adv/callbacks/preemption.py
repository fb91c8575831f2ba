"""Ending a run in order when its machine, or that of another of its processes, is taken away."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen, TimeoutExpired
from types import FrameType
from typing import Any

from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning.pytorch.trainer.states import TrainerFn

from lit_adv.errors import PreemptedError
from lit_adv.peers import LOST

logger = logging.getLogger(__name__)

#: What asks a run to stop.
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

GRACE_SECONDS = 25.0  # SLURM and Kubernetes kill 30 seconds after they ask, unless told otherwise


class PeerLostError(SystemExit):
    """Another process of the run is gone; this one exits with 1."""

    def __init__(self) -> None:
        super().__init__(1)


class StopOnSignal(Callback):
    """Stops the run when it is asked to by SIGTERM, SIGINT or SIGUSR1, and when another of its processes is lost.

    The processes that Lightning started are taken along.

    The batch at hand is dropped at once, and the other callbacks keep what is worth keeping: of a generation, whatever
    is queued for writing is written, shards that are whole by then are published, the rest is discarded. What hangs
    meanwhile, such as an upload, is cut short after :data:`GRACE_SECONDS`; publishing is atomic, so that harms nothing.

    Lightning's own handlers would not do: the training loop ends with status 0, as if all were done; in the other
    loops, SIGTERM only sets a flag that nobody reads; and with several processes the handler waits for all of them
    inside the handler.

    Args:
        kept: What is kept of a run that was asked to stop, and how to go on, for the user.

    Attributes:
        ending: How the run is to end, once it is asked to stop.
    """

    def __init__(self, kept: str = "run the same command again") -> None:
        super().__init__()
        self.kept = kept
        self.ending: SystemExit | None = None
        self._process = os.getpid()
        self._trainer: Trainer | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning, which gives them back when the run has ended."""
        self._process, self.ending, self._trainer = os.getpid(), None, trainer
        for number in (*ASKED, LOST):
            _set_handler(number, self._stop)

    on_test_start = on_sanity_check_start = on_train_start = on_predict_start

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over, too, where validation is all that is done."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.on_predict_start(trainer, pl_module)

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop here if the exception was lost, as happens to one that is raised in a destructor."""
        if self.ending is not None:
            raise self.ending

    on_test_batch_end = on_validation_batch_end = on_predict_batch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: without this one their work would end in waiting for it."""
        self._trainer = trainer  # the work may not have begun
        _set_handler(LOST, signal.SIG_IGN)  # the others leave, too; let this one write what is queued
        if self.ending is None:
            self._take_along(signal.SIGTERM)
            if isinstance(exception, PreemptedError):
                self.ending = exception
        elif trainer.is_global_zero:
            reason = "asked to stop" if isinstance(self.ending, PreemptedError) else "lost another process"
            logger.warning("%s: %s", reason, self._what_is_kept(trainer))

    def see_off(self) -> None:
        """Wait for the processes that Lightning started, if the run was asked to stop, but not for too long."""
        if self.ending is None:
            return
        for number in ASKED:
            _set_handler(number, signal.SIG_IGN)  # Lightning has given them back
        deadline = time.monotonic() + GRACE_SECONDS
        for child in self._children:
            try:
                child.wait(max(deadline - time.monotonic(), 0))
            except TimeoutExpired:  # it may wait for this process to meet it
                child.kill()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Data loader workers inherit the handler.
        if self.ending is not None or os.getpid() != self._process:
            return
        self.ending = PeerLostError() if number == LOST else PreemptedError()
        self._take_along(number)
        watchdog = threading.Timer(GRACE_SECONDS, self._cut_short, [self.ending.code])
        watchdog.daemon = True
        watchdog.start()
        self._interrupt()

    def _cut_short(self, status: int) -> None:
        """End this process, and those that Lightning started, wherever they are."""
        for child in self._children:
            child.kill()
        os._exit(status)

    def _what_is_kept(self, trainer: Trainer) -> str:
        """Return what is kept of the run, and how to go on, for the user."""
        return self.kept

    def _interrupt(self) -> None:
        """Raise :attr:`ending`, now or when it is time."""
        if self.ending is not None:
            raise self.ending

    @property
    def _children(self) -> list["Popen[bytes]"]:
        """The processes that Lightning started."""
        launcher = self._trainer.strategy.launcher if self._trainer else None
        return launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else []

    def _take_along(self, number: int) -> None:
        """Stop the processes that Lightning started; once, for a second signal may find its handler gone."""
        if not self._children:
            return
        # Lightning would kill this process within five seconds of another's end, whatever is left to write.
        for thread in threading.enumerate():
            if isinstance(thread, _ChildProcessObserver):
                thread._child_processes = []
        for child in self._children:
            child.send_signal(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let a command be asked to stop while no Trainer's run takes care of that: it ends with PreemptedError."""
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # data loader workers inherit the handler
            return
        if _starts_processes(frame):
            # The process that is just being started is nowhere to be found yet, and would be left behind.
            again = threading.Timer(0.1, os.kill, [process, number])
            again.daemon = True
            again.start()
            return
        logger.warning("asked to stop before the work began, or after its end; run the same command again")
        raise PreemptedError

    before = {number: signal.getsignal(number) for number in ASKED}
    for number in ASKED:
        _set_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            _set_handler(number, handler)


def _starts_processes(frame: FrameType | None) -> bool:
    """Tell whether a signal came while Lightning starts the other processes."""
    while frame is not None:
        if frame.f_code is _SubprocessScriptLauncher._call_children_scripts.__code__:
            return True
        frame = frame.f_back
    return False


def _set_handler(number: signal.Signals, handler: Any) -> None:
    """Handle a signal as :func:`signal.signal` does, if this is the thread that may."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)
