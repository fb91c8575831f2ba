"""``lit-adv test``."""

from __future__ import annotations

from collections.abc import Sequence

from lit_adv.callbacks.evaluation_report import EvaluationReport, print_report
from lit_adv.callbacks.progress import EvaluationProgress
from lit_adv.cli.shard_cli import ShardCLI
from lit_adv.data.evaluation import EvaluationDataModule
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


def evaluate(arguments: Sequence[str], prog: str = "lit-adv test") -> None:
    """Evaluate, and print the table."""
    cli = EvaluationCLI(arguments, prog)
    with cli.job():
        cli.trainer.test(cli.model, cli.datamodule, verbose=False)  # the targets bring their own weights
    print_report(cli.trainer)
