"""What the two entry points share: Lightning's command line, with this package's parts plugged in."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch.distributed as dist
import yaml
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.data import storage
from lit_adv.data.attacked import DamagedShardsError
from lit_adv.data.evaluation import EvaluationDataModule
from lit_adv.data.generation import GenerationDataModule
from lit_adv.data.job import ConfigMismatchError
from lit_adv.data.remote import redact
from lit_adv.data.training import TrainingDataModule
from lit_adv.data.writer import GenerationFailedError, ShardWriter
from lit_adv.models import input_record
from lit_adv.preemption import StopOnSignal
from lit_adv.saving import AtomicCheckpointIO, RunFolder, find_run_folder, print_run
from lit_adv.tasks import EvaluationTask, FittingTask, GenerationTask
from lit_adv.tracking import (
    EvaluationProgress,
    EvaluationReport,
    GenerationProgress,
    GenerationTracker,
    find_report,
    find_writer,
    print_report,
)
from lit_adv.training_tracker import TrainingTracker


class SaveConfigBesideOutput(SaveConfigCallback):
    """Saves the resolved configuration as ``config.yaml`` beside what the run makes, and logs it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait: the folder may turn out to belong to another job."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save beside the shards, and log."""
        config = self.config.clone()
        config.data.job = None  # the folder is that of all jobs
        self._save_and_log(trainer, config, find_writer(trainer).path)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save beside the weights, and log."""
        self._save_and_log(trainer, self.config, find_run_folder(trainer).path)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save beside the report, and log."""
        self._save_and_log(trainer, self.config, find_report(trainer).path)

    @rank_zero_only
    def _save_and_log(self, trainer: Trainer, config: Namespace, folder: str) -> None:
        text = redact(self.parser.dump(config, skip_none=False))
        storage.replace(storage.join(folder, "config.yaml"), text.encode())
        for logger in trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(text))


class RedactingParser(LightningArgumentParser):
    """A parser whose errors quote what the user typed, but no credentials in URLs."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the process with a message."""
        super().error(redact(message), ex)


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
            parser_class=RedactingParser,
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
            trainer_defaults={"inference_mode": False, "callbacks": [GenerationTracker(), StopOnSignal()]},
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the ``--output`` group."""
        parser.add_lightning_class_args(ShardWriter, "output")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Fit the Trainer to what starts the processes.

        Under torchrun, the numbers of devices and nodes are torchrun's; they may change with every restart. Under
        SLURM, Lightning is kept from its own way of being requeued: it would save the surrogate as a checkpoint, and
        load that into whatever surrogate the next run configures.
        """
        if TorchElasticEnvironment.detect():
            if self.config_init.trainer.devices == "auto":
                kwargs["devices"] = int(os.environ["LOCAL_WORLD_SIZE"])
                kwargs["num_nodes"] = int(os.environ["GROUP_WORLD_SIZE"])
        elif SLURMEnvironment.detect():
            kwargs["plugins"] = [SLURMEnvironment(auto_requeue=False), *(self.config_init.trainer.plugins or [])]
        trainer = super().instantiate_trainer(**kwargs)
        if SLURMEnvironment.detect() and (stale := sorted(Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"))):
            raise RuntimeError(f"Lightning would load {stale[0]} over the surrogate; move it away")
        return trainer

    def before_instantiate_classes(self) -> None:
        """Take the image size from the surrogate's record where the user gives none."""
        data, surrogate = self.config.data, self.config.model.surrogate
        specs = [surrogate] if isinstance(surrogate, str) else surrogate
        records = [record for record in map(input_record, specs) if record is not None]
        if records and data.image_size is None:
            largest = max(records)
            data.image_size = largest.size
            if data.resize is None:
                data.resize = int(largest.size / largest.crop_ratio)


class TrainingCLI(ShardCLI):
    """The command line of training: the subcommands ``fit`` and ``validate``.

    Besides ``--model``, a :class:`FittingTask`, and ``--data`` there is ``--output``, the folder for weights and
    checkpoints. ``--ckpt_path last`` goes on with the run in that folder, if there is one.
    """

    progress_bar = TQDMProgressBar

    def __init__(self, args: ArgsType = None) -> None:
        super().__init__(
            FittingTask,
            TrainingDataModule,
            args,
            trainer_defaults={
                "inference_mode": False,  # the validation's attack needs gradients
                "callbacks": [TrainingTracker()],
            },
            subclass_mode_model=True,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer ``fit`` and ``validate``; checkpoints are never unpickled freely."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "validate": {"model", "dataloaders", "datamodule", "weights_only", "verbose"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the ``--output`` group, and let one seed be that of all: the order of the data, and what steps draw."""
        parser.add_lightning_class_args(RunFolder, "output")
        for seed in ("data.seed", "model.init_args.seed"):
            parser.link_arguments("seed_everything", seed, compute_fn=int)  # it may also be true or false

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Let checkpoints be written whole or not at all."""
        plugins = self._get(self.config_init, "trainer").plugins or []
        return super().instantiate_trainer(plugins=[AtomicCheckpointIO(), *plugins], **kwargs)

    def fit(self, model: FittingTask, datamodule: TrainingDataModule, ckpt_path: str | None = None) -> None:
        """Train, and print what the last epoch has come to."""
        checkpoint = find_run_folder(self.trainer).checkpoint(ckpt_path)
        self.trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        print_run(self.trainer)

    def validate(self, model: FittingTask, datamodule: TrainingDataModule, ckpt_path: str | None = None) -> None:
        """Validate, and print the accuracies.

        Raises:
            FileNotFoundError: If the last checkpoint is asked for and there is none.
        """
        folder = find_run_folder(self.trainer)
        checkpoint = folder.checkpoint(ckpt_path)
        if ckpt_path and not checkpoint:
            raise FileNotFoundError(f"{redact(folder.path)} holds no run to validate; name its folder as --output.path")
        self.trainer.validate(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)


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
    # Frozen networks and averages of weights stay in eval mode; the task trains the rest.
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
    # Lightning's own use of torch's pytrees.
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )


_MENDABLE = (ConfigMismatchError, GenerationFailedError, DamagedShardsError, OSError, ValueError)


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the process with the message alone where the user can mend what is wrong; a traceback would bury it.

    Neither message nor traceback shows credentials in URLs.
    """
    try:
        yield
    except Exception as error:
        plain = isinstance(error, _MENDABLE) and "LIT_ADV_TRACEBACK" not in os.environ
        said = f"error: {error}\n(set LIT_ADV_TRACEBACK=1 to see where)" if plain else traceback.format_exc()
        sys.exit(redact(said))


def leave_process_group() -> None:
    """Part from the other processes in order: gloo aborts now and then if a process just ends."""
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()
