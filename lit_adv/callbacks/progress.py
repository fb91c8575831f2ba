"""Progress bars that count what there is to do: images, or the batches of shards whose samples are known."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.pace import Pace
from lit_adv.callbacks.telemetry import total_speed
from lit_adv.data.batch import AdversarialBatch, CleanAnswers, ImageBatch
from lit_adv.data.evaluation import PairBatch


class GenerationProgress(TQDMProgressBar):
    """A bar of images done, images a second and time left.

    The number of images to come is estimated from the shards opened so far, since counting them all would mean
    reading them all.
    """

    doing = "Attacking"

    def init_predict_tqdm(self) -> Tqdm:
        """Return the bar, counting images."""
        return _images_bar(self.doing, self.is_disabled)

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
    """A bar of images shown, images a second and time left; the manifests say how many images there are."""

    def init_test_tqdm(self) -> Tqdm:
        """Return the bar, counting images."""
        bar = _images_bar("Evaluating", self.is_disabled)
        bar.total = self.trainer.datamodule.images  # type: ignore[attr-defined]
        return bar

    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Leave the bar alone: it counts images, not batches."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance by the batch's images."""
        self.test_progress_bar.update(len(batch))


class TrainingProgress(TQDMProgressBar):
    """Lightning's bar of an epoch's batches, with the images a second and the time left of the whole run."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Add them, as far as they are known."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        works = find_callback(trainer, Pace).works
        left = [work.seconds_left for work in works]
        if works and None not in left:
            metrics["img/s"] = round(total_speed(works), 1)
            metrics["left"] = Tqdm.format_interval(max(seconds or 0.0 for seconds in left))
        return metrics


def _images_bar(doing: str, disable: bool) -> Tqdm:
    return Tqdm(
        desc=doing,
        unit="img",
        disable=disable,
        leave=True,
        dynamic_ncols=True,
        file=sys.stdout,
        smoothing=0.1,
    )
