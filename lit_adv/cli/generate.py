"""``lit-adv generate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from lit_adv.callbacks.generation_tracker import GenerationTracker, print_summary
from lit_adv.callbacks.progress import GenerationProgress
from lit_adv.callbacks.writer import ShardWriter
from lit_adv.cli.shard_cli import ShardCLI
from lit_adv.data.generation import GenerationDataModule
from lit_adv.models import input_record
from lit_adv.tasks import GenerationTask


class GenerationCLI(ShardCLI):
    """The settings of generation."""

    summary = (
        "Make adversarial shards: attack every image of the clean shards on a surrogate, and write shards of the same "
        "names with the adversarial images, labels and records. A run may be killed and repeated; what is done stays "
        "done. Required: --data.shards and --output.path."
    )
    configs = "generate"
    model_type = GenerationTask
    data_type = GenerationDataModule
    output_type = ShardWriter
    progress_bar = GenerationProgress
    kept = "finished shards are kept; run the same command again to make the others"
    leave_out = ("data.job",)  # the folder is that of all jobs

    def own_trainer_defaults(self) -> dict[str, Any]:
        """Keep gradients, which an attack needs, and watch the run."""
        return {"inference_mode": False, "callbacks": [GenerationTracker()]}

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Let the data module know the folder in which finished shards are."""
        parser.link_arguments("output", "data.output", compute_fn=_folder_of, apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Take the image size from the surrogate's record where the user gives none."""
        super().before_instantiate_classes()
        data, surrogate = self.config.data, self.config.model.surrogate
        specs = [surrogate] if isinstance(surrogate, str) else surrogate
        records = [record for record in map(input_record, specs) if record is not None]
        if records and data.image_size is None:
            largest = max(records)
            data.image_size = largest.size
            if data.resize is None:
                data.resize = int(largest.size / largest.crop_ratio)


def _folder_of(writer: ShardWriter) -> str:
    return writer.path


def generate(arguments: Sequence[str], prog: str = "lit-adv generate") -> None:
    """Run a generation job, and print what has come of it."""
    cli = GenerationCLI(arguments, prog)
    try:
        with cli.job():
            cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    finally:
        print_summary(cli.trainer)
