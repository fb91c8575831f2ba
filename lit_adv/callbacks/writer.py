"""The Lightning callback that writes adversarial batches as shards."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from lit_adv.callbacks.output import ShardOutput
from lit_adv.callbacks.stopwatch import Stopwatch
from lit_adv.callbacks.tally import Tally
from lit_adv.data.batch import AdversarialBatch
from lit_adv.errors import MendableError
from lit_adv.memory import memory_in_use
from lit_adv.peers import Peers
from lit_adv.shards import publish, scratch
from lit_adv.shards.encode import ImageFormat
from lit_adv.shards.job import digest, register_job
from lit_adv.shards.job_shards import describe_change, read_shards, record_shards
from lit_adv.shards.listing import shard_name
from lit_adv.shards.manifest import Summary, finalize, summarize
from lit_adv.shards.remote import redact
from lit_adv.shards.skips import explain_no_images

logger = logging.getLogger(__name__)


class GenerationFailedError(MendableError):
    """Some shards could not be made, or there is no image in any; all others are done."""


class _Outcome(NamedTuple):
    """What one process has to say at the end of a run."""

    tally: Tally
    error: str | None


class RunObserver(Callback):
    """A callback that hears now and then, in rank 0 alone, how far the whole run is."""

    def on_report(self, trainer: Trainer, tallies: list[Tally]) -> None:
        """Called every few seconds while the run works, and once when it has ended, well or not.

        Args:
            trainer: The Trainer.
            tallies: The latest that is known of each process, in the order of ranks.
        """


class ShardWriter(BasePredictionWriter):
    """Writes each :class:`AdversarialBatch` that ``predict_step`` returns into its shard's output shard.

    Encoding and writing happen in threads, so the device does not wait for them. A shard is published when its
    last batch is written, whole and exactly once; what is unfinished when the run ends leaves no trace. On the way it
    takes down where the time goes, and tells each :class:`RunObserver` among the Trainer's callbacks.

    The LightningModule says what it does through two attributes: ``fingerprint``, its settings as a dict of JSON's
    types, and ``budget``, the largest change of a pixel in grey levels (None: any); its method ``check_data`` refuses
    images or labels that do not suit it. The data module has a ``fingerprint``, too, a ``plan``, the URLs of all input
    shards, a ``decoder``, and as its ``output`` the same folder.

    Args:
        path: The output folder, local or remote.
        format: File format of the images; both are lossless. PNG is what every tool reads and none encodes again
            lossily, as some do WebP; WebP takes half the time to encode, and shards are a seventh smaller.
        clean_images: Whether to store the clean image, too, as ``<key>.clean.<format>``.
        encode_threads: Threads that encode images.
        queue_batches: Batches that may wait to be written before the attack has to wait.
        report_seconds: Least time between two reports of how far the run is.

    Attributes:
        summary: Totals over all shards; None until none is missing.
        tallies: What each process has done, in the order of ranks, as far as this process knows; complete after a run
            that ended well.

    Raises:
        ValueError: If there is not at least one thread and one batch.
    """

    def __init__(
        self,
        path: str,
        format: ImageFormat = "png",
        clean_images: bool = True,
        encode_threads: int = 2,
        queue_batches: int = 4,
        report_seconds: float = 10.0,
    ) -> None:
        super().__init__(write_interval="batch")
        if encode_threads < 1 or queue_batches < 1:
            raise ValueError(
                f"encode_threads and queue_batches must be at least 1, got {encode_threads} and {queue_batches}"
            )
        self.path = path
        self.format = format
        self.clean_images = clean_images
        self.encode_threads = encode_threads
        self.queue_batches = queue_batches
        self.report_seconds = report_seconds
        self.summary: Summary | None = None
        self.tallies: list[Tally] = []
        self._output: ShardOutput | None = None

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The settings that have a part in the output's bytes."""
        return {"format": self.format, "clean_images": self.clean_images}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Claim the output folder for this configuration.

        Raises:
            OSError: If the folder cannot be written.
            ConfigMismatchError: If it belongs to another configuration.
            ValueError: If the data module looks for finished shards elsewhere, or its data do not suit the module.
        """
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        module: Any = pl_module
        looks_in = _data_module(trainer).output
        if looks_in != self.path:
            raise ValueError(
                f"the shards are written to {redact(self.path)}, but the data module looks for finished ones in "
                f"{looks_in}; give it the same folder as output"
            )
        config = {
            "model": module.fingerprint,
            "data": _data_module(trainer).fingerprint,
            "output": self.fingerprint,
            "budget": module.budget,
            "precision": str(trainer.precision),
            "device": trainer.strategy.root_device.type,
        }
        decoder = _data_module(trainer).decoder
        module.check_data(decoder.image_size, decoder.num_classes)
        publish.prepare_folder(self.path)
        scratch.remove_stale_scratch(self.path)
        self._record = register_job(self.path, config)
        if trainer.is_global_zero:
            names = [shard_name(shard) for shard in _data_module(trainer).plan]
            for line in describe_change(record_shards(self.path, names, self._record)):
                logger.warning("%s: %s", redact(self.path), line)
        self._output = ShardOutput(
            self.path,
            fingerprint=digest(self._record),
            budget=module.budget,
            image_format=self.format,
            clean_images=self.clean_images,
            encode_threads=self.encode_threads,
            queue_batches=self.queue_batches,
        )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Meet the other processes and start the clocks."""
        self._own = Tally(shards_assigned=len(_data_module(trainer).assigned))
        self._peers = Peers(self._own)
        self._started = self._reported = time.perf_counter()
        self._attack_seconds = 0.0
        self._waiting = Stopwatch()
        self._waiting.start()

    def on_predict_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Take down how long this process has waited for the batch."""
        self._waiting.stop()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: AdversarialBatch,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Hand a batch to the writing thread; raises what went wrong there with an earlier one."""
        if self._output is None:
            return
        self._attack_seconds += prediction.seconds
        self._output.put(prediction)
        if self._report_is_due():
            self._own = self._take_stock(trainer, self._output)
            self._report(trainer)
        self._waiting.start()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait until all is written, and complete the output if nothing is missing any more.

        Raises:
            GenerationFailedError: In every process, if shards could not be made in any, or if every sample was
                skipped; all others are done by then.
        """
        if self._output is None:
            return
        self._waiting.stop()
        error = _drain(self._output)
        for progress in self._output.unfinished:
            logger.warning("the run ended within %s; run again to make this shard", progress)
        self._own = replace(self._take_stock(trainer, self._output), ended=True)
        self._report(trainer)
        said = None if error is None else f"{type(error).__name__}: {error}"
        outcomes = self._peers.gather(_Outcome(self._own, said), meanwhile=lambda: self._report_if_due(trainer))
        self._discard()
        self._tell(trainer, [outcome.tally for outcome in outcomes])
        failed = _describe_failures(outcomes)
        if error is not None:
            if len(failed) > 2:  # more than a heading and this error
                logger.warning("%s", "\n".join(failed))
            raise error
        if failed:
            raise GenerationFailedError("\n".join(failed))
        # The list as it is recorded: since the run began, it may have been changed by another run.
        self.summary = finalize(self.path, [f"{name}.tar" for name in read_shards(self.path, self._record)])
        if self.summary is None and (any(t.images for t in self.tallies) or not any(t.skipped for t in self.tallies)):
            return  # other jobs are to make the rest
        if not (self.summary or summarize(self.path)).images:
            raise GenerationFailedError(f"not one adversarial image was made: {explain_no_images(self.path)}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is queued, for it may make a shard whole, and discard what is unfinished."""
        if self._output is not None:
            with suppress(Exception):  # the first error counts
                self._output.drain()
            with suppress(Exception):
                self._own = self._take_stock(trainer, self._output)
                self._report(trainer)
        self._discard()

    def _take_stock(self, trainer: Trainer, output: ShardOutput) -> Tally:
        return replace(
            output.tally,
            shards_assigned=self._own.shards_assigned,
            seconds=time.perf_counter() - self._started,
            seconds_waiting=self._waiting.seconds,
            seconds_attacking=self._attack_seconds,
            memory_bytes=memory_in_use(trainer.strategy.root_device),
        )

    def _report_is_due(self) -> bool:
        return time.perf_counter() - self._reported >= self.report_seconds

    def _report_if_due(self, trainer: Trainer) -> None:
        if self._report_is_due():
            self._report(trainer)

    def _report(self, trainer: Trainer) -> None:
        """Tell the other processes, and in rank 0 the observers, how far this process is."""
        self._reported = time.perf_counter()
        self._peers.post(self._own)
        if trainer.is_global_zero:
            self._tell(trainer, [note or Tally() for note in self._peers.notes])

    def _tell(self, trainer: Trainer, tallies: list[Tally]) -> None:
        self.tallies = tallies
        if trainer.is_global_zero:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]  # the Trainer sets it without declaring it
                if isinstance(callback, RunObserver):
                    callback.on_report(trainer, tallies)

    def _discard(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


def _drain(output: ShardOutput) -> Exception | None:
    """Wait until all is written; return what went wrong, for the other processes must hear of it first."""
    try:
        output.drain()
    except Exception as error:
        return error
    return None


def _describe_failures(outcomes: Sequence[_Outcome]) -> list[str]:
    """Return lines that name the shards that could not be made and the processes that failed; none if all went well."""
    shards = [f"  {redact(shard)}: {why}" for outcome in outcomes for shard, why in outcome.tally.failed.items()]
    errors = [f"  rank {rank}: {outcome.error}" for rank, outcome in enumerate(outcomes) if outcome.error is not None]
    return [
        *([f"{len(shards)} shards could not be made:", *shards] if shards else []),
        *([f"{len(errors)} of {len(outcomes)} processes failed:", *errors] if errors else []),
    ]


def _data_module(trainer: Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # the Trainer sets it without declaring it
