"""``lit-adv generate``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from lit_adv.callbacks.generation_tracker import GenerationTracker, print_summary
from lit_adv.callbacks.preemption import StopOnSignal
from lit_adv.callbacks.progress import GenerationProgress
from lit_adv.callbacks.writer import ShardWriter
from lit_adv.cli.shard_cli import ShardCLI, leave_process_group
from lit_adv.data.generation import GenerationDataModule
from lit_adv.loggers import own_runs
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
    leave_out = ("data.job",)  # the folder is that of all jobs

    def own_trainer_defaults(self) -> dict[str, Any]:
        """Keep gradients, which an attack needs, and watch the run."""
        return {"inference_mode": False, "callbacks": [GenerationTracker(), StopOnSignal()]}

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Let the data module know the folder in which finished shards are."""
        parser.link_arguments("output", "data.output", compute_fn=_folder_of, apply_on="instantiate")

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
        with own_runs(cli.trainer):
            cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    finally:
        print_summary(cli.trainer)
        leave_process_group()
