"""How fast an evaluation or a training goes, how long it has to go, and where its time goes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.stopwatch import Stopwatch
from lit_adv.callbacks.telemetry import Measure, pace, table
from lit_adv.memory import memory_in_use
from lit_adv.peers import Peers

_REPORT_SECONDS = 10.0


@dataclass(frozen=True)
class Work:
    """One process's part in a run.

    Attributes:
        images: Images shown or trained on.
        seconds: Time since the start.
        seconds_waiting: Of these, waiting for data.
        seconds_working: Of these, in steps.
        seconds_validating: Of these, in the validations of a training.
        share: How much of the run is done, from 0 to 1.
        memory_bytes: See :func:`lit_adv.memory.memory_in_use`.
        ended: Whether nothing is left to do.
    """

    images: int = 0
    seconds: float = 0.0
    seconds_waiting: float = 0.0
    seconds_working: float = 0.0
    seconds_validating: float = 0.0
    share: float = 0.0
    memory_bytes: int = 0
    ended: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Estimate the time left; None before anything is done."""
        if self.ended:
            return 0.0
        return self.seconds * (1 - self.share) / self.share if self.share else None


MEASURES = (
    Measure("images", "images", "d", lambda work: work.images),
    Measure("seconds_waiting", "waiting", ".1f", lambda work: work.seconds_waiting),
    Measure("seconds_working", "working", ".1f", lambda work: work.seconds_working),
    Measure("seconds_validating", None, ".1f", lambda work: work.seconds_validating),
    Measure("memory_gib", "GiB", ".2f", lambda work: work.memory_bytes / 2**30),
)


class Pace(Callback):
    """Takes down where the time of a test or a training goes.

    Every few seconds the loggers get :func:`lit_adv.callbacks.telemetry.pace` of all processes, from rank 0. A process
    that hangs or dies is noticed, see :class:`lit_adv.peers.Peers`.

    Attributes:
        works: What each process has done, in the order of ranks, as far as this process knows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.works: list[Work] = []
        self._clocks = {name: Stopwatch() for name in ("waiting", "working", "validating")}
        self._images = self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Meet the other processes and start the clocks."""
        self._images, self._first_step = 0, trainer.global_step
        self._peers = Peers(Work())
        self._started = self._reported = time.perf_counter()
        self._turn_to("waiting")

    on_test_start = on_train_start

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Begin a step."""
        self._turn_to("working")

    on_test_batch_start = on_train_batch_start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """End a step."""
        self._images += len(batch)
        self._turn_to("waiting")
        if time.perf_counter() - self._reported >= _REPORT_SECONDS:
            self._report(trainer)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """End a step."""
        self.on_train_batch_end(*args, **kwargs)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a validation within a training."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._turn_to("validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End it."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._turn_to("waiting")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hear from all processes.

        Raises:
            RuntimeError: If another process has died.
        """
        self._turn_to("")
        self.works = self._peers.gather(self._take_stock(trainer, ended=True))
        self._log(trainer)

    on_test_end = on_train_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take down what this process has done, and the others as far as is known."""
        if self._clocks["waiting"].seconds:
            self._peers.post(self._take_stock(trainer))
            self.works = [note or Work() for note in self._peers.notes]

    def _turn_to(self, clock: str) -> None:
        """Stop all clocks but one."""
        for stopwatch in self._clocks.values():
            stopwatch.stop()
        if clock:
            self._clocks[clock].start()

    def _take_stock(self, trainer: Trainer, ended: bool = False) -> Work:
        return Work(
            images=self._images,
            seconds=time.perf_counter() - self._started,
            seconds_waiting=self._clocks["waiting"].seconds,
            seconds_working=self._clocks["working"].seconds,
            seconds_validating=self._clocks["validating"].seconds,
            share=self._share(trainer),
            memory_bytes=memory_in_use(trainer.strategy.root_device),
            ended=ended,
        )

    def _share(self, trainer: Trainer) -> float:
        """Return how much of what this run has to do is done."""
        if trainer.state.fn == TrainerFn.FITTING:
            steps = trainer.estimated_stepping_batches - self._first_step
            # A run may go on with its last validation.
            return (trainer.global_step - self._first_step) / steps if steps else 1.0
        images: int = trainer.datamodule.images  # type: ignore[attr-defined]
        return self._images / images if images else 1.0

    def _report(self, trainer: Trainer) -> None:
        """Tell the other processes, and in rank 0 the loggers, how far this process is."""
        self._reported = time.perf_counter()
        self._peers.post(self._take_stock(trainer))
        self.works = [note or Work() for note in self._peers.notes]
        self._log(trainer)

    @rank_zero_only
    def _log(self, trainer: Trainer) -> None:
        values = pace(self.works, MEASURES)
        step = trainer.global_step if trainer.state.fn == TrainerFn.FITTING else int(values["images"])
        for logger in trainer.loggers:
            logger.log_metrics(values, step=step)
            logger.save()  # Lightning does so at some steps alone, which a number of images may pass by


@rank_zero_only
def print_pace(trainer: Trainer) -> None:
    """Print how fast a run was and where its time went; nothing if it has not begun."""
    works = find_callback(trainer, Pace).works
    if works:
        print(f"\n{table(works, MEASURES)}")
