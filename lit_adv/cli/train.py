"""``lit-adv fit`` and ``lit-adv validate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.midway import StopTraining
from lit_adv.callbacks.pace import Pace, print_pace
from lit_adv.callbacks.preemption import stoppable
from lit_adv.callbacks.progress import TrainingProgress
from lit_adv.callbacks.run_folder import AtomicCheckpointIO, RunFolder, print_run
from lit_adv.callbacks.run_history import RunHistory
from lit_adv.callbacks.training_tracker import TrainingTracker
from lit_adv.cli.shard_cli import ShardCLI
from lit_adv.data.training import TrainingDataModule
from lit_adv.shards.remote import redact
from lit_adv.tasks import FittingTask


class TrainingCLI(ShardCLI):
    """The settings of training; ``--output`` is the folder for weights and checkpoints."""

    summary = (
        "Train a classifier, or the denoiser of a defense, on clean and adversarial shards. Each epoch leaves weights "
        "and a checkpoint in --output.path; with --ckpt_path last the same command goes on after a kill."
    )
    configs = "train"
    model_type = FittingTask
    any_subclass = True
    data_type = TrainingDataModule
    output_type = RunFolder
    progress_bar = TrainingProgress
    kept = "run the same command again, with --ckpt_path last, to go on"
    stop_type = StopTraining

    def own_trainer_defaults(self) -> dict[str, Any]:
        """Keep gradients, which the validation's attack needs, and watch the run."""
        return {"inference_mode": False, "callbacks": [TrainingTracker(), RunHistory(), Pace()]}

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Add ``--ckpt_path``, and let one seed be that of all: the order of the data, and what steps draw."""
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="A checkpoint to start from: 'last' or 'best' of the output folder, or a URL. 'last' may not exist "
            "yet, so the same command starts a run and goes on with it.",
        )
        for seed in ("data.seed", "model.init_args.seed"):
            parser.link_arguments("seed_everything", seed, compute_fn=int)  # it may also be true or false

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Let checkpoints be written whole or not at all."""
        plugins = self._get(self.config_init, "trainer").plugins or []
        return super().instantiate_trainer(plugins=[AtomicCheckpointIO(), *plugins], **kwargs)


class ValidationCLI(TrainingCLI):
    """The settings of validation, which are those of training."""

    summary = (
        "Measure a classifier's accuracy on clean images, on finished adversarial shards and under its own attack, as "
        "training does at the end of each epoch. With --ckpt_path last or best, that of a run in --output.path."
    )
    kept = "nothing is kept of a validation; run the same command again"


@stoppable()
def fit(arguments: Sequence[str], prog: str = "lit-adv fit") -> None:
    """Train, and print what the last epoch has come to."""
    cli = TrainingCLI(arguments, prog)
    checkpoint = find_callback(cli.trainer, RunFolder).checkpoint(cli.config.ckpt_path, midway=True)
    # Checkpoints are never unpickled freely.
    try:
        with cli.job():
            cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    finally:
        print_pace(cli.trainer)
    print_run(cli.trainer)


@stoppable()
def validate(arguments: Sequence[str], prog: str = "lit-adv validate") -> None:
    """Validate, and print the accuracies.

    Raises:
        FileNotFoundError: If the last checkpoint is asked for and there is none.
    """
    cli = ValidationCLI(arguments, prog)
    folder = find_callback(cli.trainer, RunFolder)
    checkpoint = folder.checkpoint(cli.config.ckpt_path)
    if cli.config.ckpt_path and not checkpoint:
        raise FileNotFoundError(f"{redact(folder.path)} holds no run to validate; name its folder as --output.path")
    with cli.job():
        cli.trainer.validate(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
