"""``lit-adv clean``."""

from __future__ import annotations

from collections.abc import Sequence

from lit_adv.callbacks.clean_report import CleanReport
from lit_adv.callbacks.progress import CleanProgress
from lit_adv.cli.shard_cli import ShardCLI
from lit_adv.data.generation import GenerationDataModule
from lit_adv.tasks import CleanTask


class CleanCLI(ShardCLI):
    """The settings of showing clean images to models; ``--report`` is the folder of what they said."""

    summary = (
        "Show clean images to models, and write which of them each classifies correctly and its mean loss at the "
        "scales of --model.scales. Required: --model.models, --data.shards and --report.path."
    )
    configs = "generate"
    model_type = CleanTask
    data_type = GenerationDataModule
    output_name = "report"
    output_type = CleanReport
    progress_bar = CleanProgress


def clean(arguments: Sequence[str], prog: str = "lit-adv clean") -> None:
    """Show the images, and write what came of it."""
    cli = CleanCLI(arguments, prog)
    with cli.job():
        cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
