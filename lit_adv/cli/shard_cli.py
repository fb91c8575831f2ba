"""What the commands that start a Trainer share: Lightning's command line, with this package's parts plugged in."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
import torch.distributed as dist
import yaml
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lit_adv.callbacks.lookup import find_callback
from lit_adv.callbacks.preemption import StopOnSignal
from lit_adv.cli.arguments import prepare
from lit_adv.errors import MendableError
from lit_adv.loggers import own_runs
from lit_adv.precision import fast_precision
from lit_adv.shards import publish, storage
from lit_adv.shards.remote import redact

logger = logging.getLogger(__name__)


class SaveConfigBesideOutput(SaveConfigCallback):
    """Saves the resolved configuration as ``config.yaml`` beside what the run makes, and logs it.

    Args:
        parser: The parser of the configuration.
        config: The configuration.
        output: The callback whose ``path`` is the folder.
        leave_out: Settings that do not belong to the folder.
    """

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, output: type[Callback], leave_out: Sequence[str]
    ) -> None:
        super().__init__(parser, config)
        self._output = output
        self._leave_out = leave_out

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait: the folder may turn out to belong to another job."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and log."""
        self._save_and_log(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and log."""
        self._save_and_log(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and log."""
        self._save_and_log(trainer)

    @rank_zero_only
    def _save_and_log(self, trainer: Trainer) -> None:
        config = self.config.clone()
        for name in self._leave_out:
            config[name] = None
        text = redact(self.parser.dump(config, skip_none=False))
        output: Any = find_callback(trainer, self._output)
        publish.replace(storage.join(output.path, "config.yaml"), text.encode())
        for tracker in trainer.loggers:
            tracker.log_hyperparams(yaml.safe_load(text))


class RedactingParser(LightningArgumentParser):
    """A parser whose errors quote what the user typed, but no credentials in URLs."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the process with a message."""
        super().error(redact(message), ex)


class ShardCLI(LightningCLI):
    """One command's settings and what they make: ``--model``, ``--data``, the command's own group, and ``--trainer``.

    Shards are dealt out by the data modules, and work is done in the precision that is fast on the device unless told
    otherwise.

    Args:
        arguments: What the user typed behind the command.
        prog: The command, for usage.

    Attributes:
        summary: What the command does, for its help.
        configs: The folder below ``configs/`` in which ``--config NAME`` is looked up.
        model_type: The LightningModule's class.
        any_subclass: Whether the user chooses a subclass of it.
        data_type: The data module's class.
        output_name: Name of the command's own group of settings.
        output_type: The callback that these settings make; its ``path`` is where the run's results go.
        progress_bar: Class of the progress bar.
        kept: What is kept of a run that was asked to stop, and how to go on; see :class:`StopOnSignal`.
        stop_type: The callback that stops it.
        leave_out: Settings that are not saved.
    """

    summary: ClassVar[str]
    configs: ClassVar[str]
    model_type: ClassVar[type[LightningModule]]
    any_subclass: ClassVar[bool] = False
    data_type: ClassVar[type[LightningDataModule]]
    output_name: ClassVar[str] = "output"
    output_type: ClassVar[type[Callback]]
    progress_bar: ClassVar[type[TQDMProgressBar]]
    kept: ClassVar[str] = "nothing is kept; run the same command again"
    stop_type: ClassVar[type[StopOnSignal]] = StopOnSignal
    leave_out: ClassVar[Sequence[str]] = ()

    def __init__(self, arguments: Sequence[str], prog: str = "lit-adv COMMAND") -> None:
        quiet_lightning()
        own = self.own_trainer_defaults()
        callbacks = [*own.pop("callbacks", []), self.stop_type(self.kept)]
        super().__init__(
            self.model_type,
            self.data_type,
            save_config_callback=SaveConfigBesideOutput,
            save_config_kwargs={"output": self.output_type, "leave_out": self.leave_out},
            seed_everything_default=0,
            trainer_defaults={
                "use_distributed_sampler": False,
                "enable_checkpointing": False,
                "precision": None,
                **own,
                "callbacks": callbacks,
            },
            parser_kwargs={
                "prog": prog,
                "usage": f"{prog} --config NAME_OR_FILE [--SETTING VALUE ...]",
                "description": self.summary,
            },
            subclass_mode_model=self.any_subclass,
            auto_configure_optimizers=False,
            args=list(arguments),
            run=False,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Return a parser of configuration files alone."""
        parser = RedactingParser(**kwargs)
        parser.add_argument(
            "-c",
            "--config",
            action="config",
            help="A YAML file, or the name of one that comes with this package. What is typed overrides it.",
        )
        return parser

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the command's own settings before Lightning's forty."""
        parser.add_lightning_class_args(self.model_type, "model", subclass_mode=self.any_subclass)
        parser.add_lightning_class_args(self.data_type, "data")
        parser.add_lightning_class_args(self.output_type, self.output_name)
        self.add_own_arguments(parser)
        parser.add_lightning_class_args(Trainer, "trainer")
        if parser.groups is not None:
            parser.groups["trainer"].title = "Lightning's own: devices, precision, loggers, callbacks, limits"
        settings = {f"trainer.{name}": value for name, value in self.trainer_defaults.items() if name != "callbacks"}
        parser.set_defaults(settings)

    def own_trainer_defaults(self) -> dict[str, Any]:
        """Return the Trainer's settings, its callbacks among them, that differ from those of other commands."""
        return {}

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Add what else the command knows."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what the user typed, which overrides what configuration files say, wherever it stands."""
        self.config = parser.parse_args(prepare(args, self.configs))

    def before_instantiate_classes(self) -> None:
        """Choose the precision where the user has not.

        Raises:
            MendableError: If images would be cast, too: 8 bits of color do not fit into half precision's 0 to 1.
        """
        trainer = self.config.trainer
        if trainer.precision is None:
            trainer.precision = fast_precision(_device_type(str(trainer.accelerator)))
        if str(trainer.precision).endswith("-true") and trainer.precision != "32-true":
            raise MendableError(
                f"precision {trainer.precision} casts weights and images; choose bf16-mixed, 16-mixed or 32-true"
            )

    def instantiate_classes(self) -> None:
        """Make the model, the data module and the Trainer.

        Raises:
            MendableError: If the Trainer cannot be had as configured.
        """
        try:
            super().instantiate_classes()
        except MisconfigurationException as error:
            raise MendableError(f"the trainer cannot be had as configured: {error}") from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Fit the Trainer to what starts the processes, and make sure that logs can be written.

        It gets the command's own progress bar, unless the user wants none. Under torchrun, the numbers of devices and
        nodes are torchrun's; they may change with every restart. Under SLURM, Lightning is kept from its own way of
        being requeued: it would save the weights as a checkpoint, and load that into whatever the next run configures.

        Raises:
            OSError: If logs cannot be written. (W&B goes without its files then.)
            RuntimeError: If there is such a checkpoint.
        """
        settings = self._get(self.config_init, "trainer")
        if settings.get("enable_progress_bar") is not False:
            kwargs["callbacks"] = [*(settings.get("callbacks") or []), self.progress_bar()]
        if TorchElasticEnvironment.detect():
            if settings.devices == "auto":
                kwargs["devices"] = int(os.environ["LOCAL_WORLD_SIZE"])
                kwargs["num_nodes"] = int(os.environ["GROUP_WORLD_SIZE"])
        elif SLURMEnvironment.detect():
            given = kwargs.get("plugins", settings.plugins) or []
            kwargs["plugins"] = [SLURMEnvironment(auto_requeue=False), *given]
        trainer = super().instantiate_trainer(**kwargs)
        if SLURMEnvironment.detect() and (stale := sorted(Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"))):
            raise RuntimeError(f"Lightning would load {stale[0]} over the weights; move it away")
        for tracker in trainer.loggers:
            if tracker.save_dir and not isinstance(tracker, WandbLogger):
                publish.prepare_folder(str(tracker.save_dir))
        return trainer

    @contextmanager
    def job(self) -> Iterator[None]:
        """Do the command's work in the body: W&B's runs end with it, and the processes part in order.

        Raises:
            SystemExit: If the run was asked to stop, or has lost another process; also where something else was raised
                in consequence, as when a process that stopped was waited for.
        """
        stop = find_callback(self.trainer, StopOnSignal)
        try:
            with own_runs(self.trainer):
                yield
        except Exception as error:
            if stop.ending is not None:
                logger.warning("%s: %s", type(error).__name__, redact(str(error)))
                raise stop.ending from error
            raise
        finally:
            leave_process_group()
            stop.see_off()


def _device_type(accelerator: str) -> str:
    """Return the type of device that Lightning's ``accelerator`` stands for."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    return "cpu" if accelerator == "auto" else accelerator


def quiet_lightning() -> None:
    """Silence what Lightning says about things that are as they should be here."""
    # Samples are told apart by their keys.
    warnings.filterwarnings("ignore", "Couldn't infer the batch indices")
    # Frozen networks and averages of weights stay in eval mode; the task trains the rest.
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
    # The data loader of training does go on where it was; Lightning knows another way of doing so.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    # Lightning's own use of torch's pytrees.
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )


def leave_process_group() -> None:
    """Part from the other processes in order: gloo aborts now and then if a process just ends."""
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()
