"""Progress bars that count what there is to do: images, or the batches of shards whose samples are known."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from lit_adv.data.batch import AdversarialBatch, CleanAnswers, ImageBatch


class GenerationProgress(TQDMProgressBar):
    """A bar of images done, images a second and time left.

    The number of images to come is estimated from the shards opened so far, since counting them all would mean
    reading them all.
    """

    doing = "Attacking"

    def init_predict_tqdm(self) -> Tqdm:
        """Return the bar, counting images."""
        return Tqdm(
            desc=self.doing,
            unit="img",
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0.1,
        )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar."""
        super().on_predict_start(trainer, pl_module)
        self._samples_of_shard: dict[str, int] = {}

    def on_predict_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Leave the bar alone: it counts images, not batches."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: AdversarialBatch | CleanAnswers,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance by the batch's images."""
        self._samples_of_shard[batch.shard] = batch.shard_samples
        seen = self._samples_of_shard.values()
        shards = len(trainer.datamodule.assigned)  # type: ignore[attr-defined]
        self.predict_progress_bar.total = round(sum(seen) / len(seen) * shards)
        self.predict_progress_bar.update(len(batch) + len(batch.skipped))


class CleanProgress(GenerationProgress):
    """The same where images are only looked at."""

    doing = "Classifying"


class EvaluationProgress(TQDMProgressBar):
    """A bar that knows from the manifests how many batches there are."""

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """How many batches this process reads."""
        batches: int = self.trainer.datamodule.batches  # type: ignore[attr-defined]
        return batches
