"""What models made of clean images, as a file."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_adv.data.batch import CleanAnswers
from lit_adv.peers import Peers
from lit_adv.shards import publish, storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.listing import shard_name

CLEAN_FILE = "clean.json"


class _Sample(NamedTuple):
    """An image; ``predictions`` are the models', ``losses`` theirs at each scale."""

    shard: str
    key: str
    label: int
    predictions: list[int]
    losses: list[list[float]]


class CleanReport(Callback):
    """Writes what a :class:`lit_adv.tasks.CleanTask` found into :data:`CLEAN_FILE`.

    The file holds the names of the models, the scales, each model's count of ``correct`` images and its mean
    ``losses`` at the scales, how many samples were skipped, and for each image its shard's file name, key, label and
    the models' predictions.

    Args:
        path: The folder of the file, local or remote.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._samples: list[_Sample] = []
        self._skipped = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the file can be written, remove that of an earlier run, and meet the other processes."""
        publish.prepare_folder(self.path)
        if trainer.is_global_zero:
            publish.remove(storage.join(self.path, CLEAN_FILE))
        self._peers = Peers(None)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: CleanAnswers,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the answers."""
        self._samples.extend(_samples(outputs))
        self._skipped += len(outputs.source.skipped)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the answers of all processes and write them.

        Raises:
            RuntimeError: If another process has died.
        """
        said = self._peers.gather((self._samples, self._skipped))
        if not trainer.is_global_zero:
            return
        samples = sorted(sample for part, _ in said for sample in part)
        module: Any = pl_module
        names = [target.name for target in module.targets]
        result = {
            "models": names,
            "scales": module.scales,
            "images": len(samples),
            "skipped": sum(skipped for _, skipped in said),
            "correct": [sum(s.predictions[number] == s.label for s in samples) for number in range(len(names))],
            "losses": [
                [_mean([s.losses[number][at] for s in samples]) for at in range(len(module.scales))]
                for number in range(len(names))
            ],
            "samples": [[s.shard, s.key, s.label, s.predictions] for s in samples],
        }
        publish.replace(storage.join(self.path, CLEAN_FILE), canonical_json(result))


def _samples(answers: CleanAnswers) -> Iterator[_Sample]:
    source = answers.source
    for number, (key, label) in enumerate(zip(source.keys, source.labels.tolist(), strict=True)):
        yield _Sample(
            shard_name(source.shard),
            key,
            label,
            answers.predictions[:, number].tolist(),
            answers.losses[:, :, number].tolist(),
        )


def _mean(values: list[float]) -> float | None:
    """Return the mean, the same in whatever order the values come; None without any."""
    return math.fsum(values) / len(values) if values else None
