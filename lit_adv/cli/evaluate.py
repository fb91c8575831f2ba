"""``lit-adv test``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from lit_adv.callbacks.evaluation_report import EvaluationReport, print_report
from lit_adv.callbacks.pace import Pace, print_pace
from lit_adv.callbacks.progress import EvaluationProgress
from lit_adv.cli.shard_cli import ShardCLI
from lit_adv.data.evaluation import EvaluationDataModule
from lit_adv.shards import storage
from lit_adv.shards.counts import COUNTS_FOLDER
from lit_adv.tasks import EvaluationTask


class EvaluationCLI(ShardCLI):
    """The settings of transfer evaluation; ``--report`` is the folder for the results."""

    summary = (
        "Measure how well adversarial shards transfer: show them to models and defenses that they were not made "
        "against, and print how many images each takes for another class. Required: --data.attacks."
    )
    configs = "evaluate"
    model_type = EvaluationTask
    data_type = EvaluationDataModule
    output_name = "report"
    output_type = EvaluationReport
    progress_bar = EvaluationProgress
    kept = "what is counted is kept beside the report; run the same command again to count the rest"

    def own_trainer_defaults(self) -> dict[str, Any]:
        """Watch the run."""
        return {"callbacks": [Pace()]}

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Let the task know the folder in which counts are kept."""
        parser.link_arguments("report", "model.counts", compute_fn=_counts_of, apply_on="instantiate")


def _counts_of(report: EvaluationReport) -> str:
    return storage.join(report.path, COUNTS_FOLDER)


def evaluate(arguments: Sequence[str], prog: str = "lit-adv test") -> None:
    """Evaluate, and print the table."""
    cli = EvaluationCLI(arguments, prog)
    try:
        with cli.job():
            cli.trainer.test(cli.model, cli.datamodule, verbose=False)  # the targets bring their own weights
    finally:
        print_pace(cli.trainer)
    print_report(cli.trainer)
