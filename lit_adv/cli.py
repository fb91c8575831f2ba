"""What the two entry points share: Lightning's command line, with this package's parts plugged in."""

import logging
import warnings
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.data import storage
from lit_adv.data.evaluation import EvaluationDataModule
from lit_adv.data.generation import GenerationDataModule
from lit_adv.data.writer import ShardWriter
from lit_adv.models import input_record
from lit_adv.tasks import EvaluationTask, GenerationTask
from lit_adv.tracking import (
    EvaluationProgress,
    EvaluationReport,
    GenerationProgress,
    GenerationTracker,
    find_report,
    find_writer,
    print_report,
)


class SaveConfigBesideOutput(SaveConfigCallback):
    """Saves the resolved configuration as ``config.yaml`` beside what the run makes, and logs it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait: the folder may turn out to belong to another job."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save beside the shards, and log."""
        self._save_and_log(trainer, find_writer(trainer).path)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save beside the report, and log."""
        self._save_and_log(trainer, find_report(trainer).path)

    @rank_zero_only
    def _save_and_log(self, trainer: Trainer, folder: str) -> None:
        text = self.parser.dump(self.config, skip_none=False)
        storage.replace(storage.join(folder, "config.yaml"), text.encode())
        for logger in trainer.loggers:
            logger.log_hyperparams(self.config.as_dict())


class ShardCLI(LightningCLI):
    """What the command lines have in common: shards are dealt out by the data modules, in bfloat16 unless told."""

    progress_bar: type[TQDMProgressBar]

    def __init__(
        self,
        model_class: type[LightningModule],
        data_class: type[LightningDataModule],
        args: ArgsType,
        trainer_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        quiet_lightning()
        super().__init__(
            model_class,
            data_class,
            save_config_callback=SaveConfigBesideOutput,
            seed_everything_default=0,
            trainer_defaults={
                "use_distributed_sampler": False,
                "enable_checkpointing": False,
                "precision": "bf16-mixed",
                **(trainer_defaults or {}),
            },
            auto_configure_optimizers=False,
            args=args,
            **kwargs,
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the command's own progress bar, unless the user wants none."""
        settings = self._get(self.config_init, "trainer")
        if settings.get("enable_progress_bar") is not False:
            kwargs["callbacks"] = [*(settings.get("callbacks") or []), self.progress_bar()]
        return super().instantiate_trainer(**kwargs)


class GenerationCLI(ShardCLI):
    """The command line of generation: ``--model``, ``--data``, ``--output`` and ``--trainer`` settings."""

    progress_bar = GenerationProgress

    def __init__(self, args: ArgsType = None) -> None:
        super().__init__(
            GenerationTask,
            GenerationDataModule,
            args,
            # An attack needs gradients.
            trainer_defaults={"inference_mode": False, "callbacks": [GenerationTracker()]},
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the ``--output`` group."""
        parser.add_lightning_class_args(ShardWriter, "output")

    def before_instantiate_classes(self) -> None:
        """Take the image size from the surrogate's record where the user gives none."""
        data, surrogate = self.config.data, self.config.model.surrogate
        specs = [surrogate] if isinstance(surrogate, str) else surrogate
        records = [record for record in map(input_record, specs) if record is not None]
        if records and data.image_size is None:
            largest = max(records)
            data.image_size = largest.size
            if data.resize is None:
                data.resize = round(largest.size / largest.crop_ratio)


class EvaluationCLI(ShardCLI):
    """The command line of transfer evaluation: the subcommand ``test``, with a ``--report`` group of settings."""

    progress_bar = EvaluationProgress

    def __init__(self, args: ArgsType = None) -> None:
        super().__init__(EvaluationTask, EvaluationDataModule, args)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer ``test``; the targets bring their own weights, and the report prints the results."""
        return {"test": {"model", "dataloaders", "datamodule", "ckpt_path", "weights_only", "verbose"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the ``--report`` group."""
        parser.add_lightning_class_args(EvaluationReport, "report")

    def test(self, model: EvaluationTask, datamodule: EvaluationDataModule) -> None:
        """Run the evaluation and print its table."""
        self.trainer.test(model, datamodule, verbose=False)
        print_report(self.trainer)


def quiet_lightning() -> None:
    """Silence what Lightning says about things that are as they should be here."""
    # Samples are told apart by their keys.
    warnings.filterwarnings("ignore", "Couldn't infer the batch indices")
    # Lightning's own use of torch's pytrees.
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )


def leave_process_group() -> None:
    """Part from the other processes in order: gloo aborts now and then if a process just ends."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
