"""What the two entry points share: Lightning's command line, with this package's parts plugged in."""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch.distributed as dist
import yaml
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.data import storage
from lit_adv.data.generation import GenerationDataModule
from lit_adv.data.remote import redact
from lit_adv.data.writer import ShardWriter
from lit_adv.models import input_record
from lit_adv.preemption import StopOnSignal
from lit_adv.tasks import GenerationTask
from lit_adv.tracking import GenerationProgress, GenerationTracker, find_writer


class SaveConfigBesideOutput(SaveConfigCallback):
    """Saves the resolved configuration as ``config.yaml`` beside the shards, and logs it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait: the folder may turn out to belong to another job."""

    @rank_zero_only
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and log."""
        config = self.config.clone()
        config.data.job = None  # the folder is that of all jobs
        text = redact(self.parser.dump(config, skip_none=False))
        storage.replace(storage.join(find_writer(trainer).path, "config.yaml"), text.encode())
        for logger in trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(text))


class GenerationCLI(LightningCLI):
    """The command line of generation: ``--model``, ``--data``, ``--output`` and ``--trainer`` settings."""

    def __init__(self, args: ArgsType = None) -> None:
        quiet_lightning()
        super().__init__(
            GenerationTask,
            GenerationDataModule,
            save_config_callback=SaveConfigBesideOutput,
            seed_everything_default=0,
            # An attack needs gradients, and shards are dealt out by the data module.
            trainer_defaults={
                "inference_mode": False,
                "use_distributed_sampler": False,
                "enable_checkpointing": False,
                "precision": "bf16-mixed",
                "callbacks": [GenerationProgress(), GenerationTracker(), StopOnSignal()],
            },
            auto_configure_optimizers=False,
            run=False,
            args=args,
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
                data.resize = round(largest.size / largest.crop_ratio)


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
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()
