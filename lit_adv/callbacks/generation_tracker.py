"""What a generation run shows: metrics and example images while it works, its totals and its shards at the end."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.callbacks.agreement import doubt
from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.tally import Tally
from lit_adv.callbacks.telemetry import Failure, failures, metrics, table
from lit_adv.callbacks.writer import RunObserver, ShardWriter
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.loggers import manifest_artifact
from lit_adv.pictures import draw_examples
from lit_adv.shards.remote import redact
from lit_adv.shards.skips import add_counts, describe_skips
from lit_adv.shards.storage import local_path
from lit_adv.shards.verify.report import printable

_log = logging.getLogger(__name__)


class GenerationTracker(RunObserver):
    """Logs what a generation run does to the Trainer's loggers, from rank 0 for all processes.

    Every few seconds: :func:`lit_adv.callbacks.telemetry.metrics`, and to W&B a table of the shards that failed, and
    why. Once: a picture of example images. At the end: the totals over all shards, and to W&B the manifest as a data
    set artifact, by reference. As soon as the surrogate and the labels seem not to agree, a warning.

    Args:
        examples: How many images the picture shows.
    """

    def __init__(self, examples: int = 6) -> None:
        super().__init__()
        self.examples = examples
        self._shown = False
        self._failures = 0
        self._doubted = False

    def on_report(self, trainer: Trainer, tallies: list[Tally]) -> None:
        """Log how far all processes are."""
        self._warn_once(trainer, tallies)
        values = metrics(tallies)
        failed = failures(tallies)
        for logger in trainer.loggers:
            logger.log_metrics(values, step=int(values["images"]))
            logger.save()  # Lightning's CSVLogger otherwise keeps its rows in memory to the end
            if isinstance(logger, WandbLogger) and len(failed) > self._failures:
                logger.log_table("failed_shards", columns=list(Failure._fields), data=[list(row) for row in failed])
        self._failures = len(failed)

    @rank_zero_only
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: AdversarialBatch,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the first images."""
        if len(outputs) and not self._shown:
            self._shown = True
            self._log_examples(trainer, outputs)

    @rank_zero_only
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the totals and the artifact."""
        writer = find_callback(trainer, ShardWriter)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and writer.summary is not None:
                logger.experiment.summary.update({f"total/{k}": v for k, v in writer.summary.known.items()})
                logger.experiment.log_artifact(manifest_artifact(writer.path))

    def _warn_once(self, trainer: Trainer, tallies: list[Tally]) -> None:
        correct, images = (sum(counts) for counts in zip(*((t.clean_correct, t.images) for t in tallies), strict=True))
        warning = doubt(correct, images, _num_classes(trainer))
        if warning is not None and not self._doubted:
            self._doubted = True
            _log.warning("%s", warning)

    def _log_examples(self, trainer: Trainer, batch: AdversarialBatch) -> None:
        shown = slice(self.examples)
        captions = [f"{a} -> {b}" for a, b in zip(batch.source.labels[shown], batch.predictions[shown], strict=True)]
        picture = draw_examples(batch.source.images[shown], batch.images[shown], captions)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("examples", [picture])


@rank_zero_only
def print_summary(trainer: Trainer) -> None:
    """Print what a generation run has made, and where its time went; nothing if it has not begun."""
    writer = find_callback(trainer, ShardWriter)
    if not writer.tallies:
        return
    print(f"\n{table(writer.tallies)}\n")
    for line in describe_skips(add_counts(tally.skipped for tally in writer.tallies)):
        print(f"skipped   {printable(line)}")
    if (summary := writer.summary) is None:
        print(f"shards are still missing in {redact(writer.path)}; run the same command again to make them")
        return
    print(f"images    {summary.images} adversarial, {summary.skipped} skipped, in {summary.shards} shards")
    if not summary.images:
        return
    if summary.clean_correct is not None:  # else shards of an earlier release are among them
        print(f"clean     {summary.clean_accuracy:.1%} of them the surrogate classifies right when clean")
        if (warning := doubt(summary.clean_correct, summary.images, _num_classes(trainer))) is not None:
            print(f"warning   {warning}")
    print(f"fooled    {summary.success_rate:.1%} of them fool the surrogate")
    if summary.clean_correct:
        print(f"          {summary.success_on_correct:.1%} of those that it classifies right when clean")
    if summary.unchanged:
        print(f"unchanged {summary.unchanged} images came out of the attack as they went in")
    if summary.not_finite:
        print(
            f"failed    {summary.not_finite} of these had pixels that are no finite numbers; stored are the clean ones"
        )
    print(f"change    {summary.linf_mean:.1f} grey levels at most (mean L-inf), {summary.l2_mean:.2f} in L2")
    print(f"shards    {local_path(writer.path) or redact(writer.path)}")


def _num_classes(trainer: Trainer) -> int:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # the Trainer sets it without declaring it
    return int(data.decoder.num_classes)
