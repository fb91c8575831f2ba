"""What all training has in common: optimizer and schedule, reproducible epochs, exact averages, validation."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from lit_adv.attacks import LiveAttack
from lit_adv.data.evaluation import PairBatch
from lit_adv.data.training_batches import TrainBatch
from lit_adv.models import keep_freed_memory
from lit_adv.randomness import keyed_generator
from lit_adv.tasks.robust_accuracy import RobustAccuracy
from lit_adv.tasks.targets import Target, check_target

_OPTIMIZER = {"opt": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
_SCHEDULER = {"sched": "cosine"}
_SCHEDULE, _TERMS = "epochs_and_updates", "sums_of_terms"  # their names in a checkpoint


class FittingTask(LightningModule, ABC):
    """Trains a network on clean images and their adversarial versions, and validates it in every epoch.

    A step depends on the weights, the optimizer's state, the batch, the seed and its own number alone, so a run that is
    resumed takes the same course as one that was never stopped.

    The data module says what it holds: its ``attacks`` maps the names of the validation's adversarial sets to
    :class:`lit_adv.shards.attacked.AttackedFolder`, its ``decoder`` knows the images' size and the number of classes.
    The Trainer needs ``inference_mode=False``, since the validation's attack needs gradients.

    Args:
        optimizer: Arguments of :func:`timm.optim.create_optimizer_v2` that differ from SGD with learning rate 0.01,
            Nesterov momentum 0.9 and weight decay 1e-4. ``layer_decay`` makes each layer's step that many times as
            large as the next one's, so that the backbone changes less than the head. Norms and biases do not decay.
        scheduler: Arguments of :func:`timm.scheduler.create_scheduler_v2` that differ from a cosine down to 0. It is
            stepped with every update of the weights, and its ``..._epochs`` count epochs. ``plateau`` and ``none``
            are not offered; ``constant`` is.
        validation_attack: The attack on the model itself, one of :func:`lit_adv.attacks.list_attacks`, which
            docs/attacks.md describes.
        validation_options: Its settings that differ from the named attack's, such as ``eps: 4/255``.
        compile: Whether to compile the trained network; pays on a GPU.
        seed: Of everything that is drawn at random while training, but for the data's order.

    Raises:
        ValueError: If the validation's attack or the schedule is not offered.
    """

    def __init__(
        self,
        optimizer: Mapping[str, Any] | None,
        scheduler: Mapping[str, Any] | None,
        validation_attack: str,
        validation_options: Mapping[str, Any] | None,
        compile: bool,
        seed: int,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        self.seed = seed
        self._compile = compile
        self._optimizer_options = _OPTIMIZER | dict(optimizer or {})
        self._scheduler_options = _SCHEDULER | dict(scheduler or {})
        if (schedule := self._scheduler_options["sched"]) in ("plateau", "none"):
            raise ValueError(f"model.scheduler cannot be {schedule!r}; a step that never changes is 'constant'")
        self._validation_attack = LiveAttack(validation_attack, validation_options)
        self._term_sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.device))
        self._schedule = (0, 0)  # epochs, and updates in each
        self._resumed_schedule: tuple[int, int] | None = None
        self._resumed_terms: dict[str, list[float]] = {}
        self._deployed: tuple[nn.Module, ...] = ()  # a tuple, so that it is not registered for a second time

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The network whose weights are trained."""

    @abstractmethod
    def losses(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Compute the loss of each image.

        Args:
            batch: What to train on.

        Returns:
            What is minimized, [B]; its terms, which are logged, [B] each, by the name that follows ``train/loss/``;
            and the adversarial images that were shown, or else the clean ones, [B, 3, H, W] in [0, 1].
        """

    @abstractmethod
    def deploy(self) -> nn.Module:
        """Return what the training has come to: a model, in eval mode, from [0, 1] images to logits."""

    @abstractmethod
    def saved_weights(self) -> bytes:
        """Return the weights of :meth:`deploy` that were trained, as the content of a safetensors file."""

    def setup(self, stage: str) -> None:
        """Prepare the validation.

        Raises:
            ValueError: If there is nothing to validate on, or the model cannot take the data's images or tells another
                number of classes apart.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        if not data.attacks:
            raise ValueError("robust accuracy is measured in validation: name adversarial sets as data.validation")
        check_target(
            Target("in training", self.deploy(), frozenset()), data.decoder.image_size, data.decoder.num_classes
        )
        self.robust_accuracy = RobustAccuracy(data.attacks, self._validation_attack, self.seed)

    def configure_optimizers(self) -> Any:
        """Build the optimizer and its schedule with timm.

        Raises:
            ValueError: If the number of epochs is not fixed, or timm does not know an option.
        """
        epochs = self.trainer.max_epochs
        if epochs is None or epochs < 1:
            raise ValueError("a schedule needs a number of epochs: set trainer.max_epochs")
        updates = -(-int(self.trainer.estimated_stepping_batches) // epochs)
        self._schedule = (epochs, updates)
        try:
            optimizer = create_optimizer_v2(self.trained, **self._optimizer_options)
            scheduler, _ = create_scheduler_v2(
                optimizer, num_epochs=epochs, step_on_epochs=False, updates_per_epoch=updates, **self._scheduler_options
            )
        except (TypeError, AssertionError) as error:
            raise ValueError(
                f"timm refuses model.optimizer {self._optimizer_options} or model.scheduler "
                f"{self._scheduler_options}: {error}"
            ) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the schedule rests on, and what is to be logged at the end of the epoch."""
        checkpoint[_SCHEDULE] = self._schedule
        checkpoint[_TERMS] = self._sum_terms()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note these of the run to go on with."""
        self._resumed_schedule = checkpoint.get(_SCHEDULE)
        self._resumed_terms = checkpoint.get(_TERMS, {})

    def on_train_start(self) -> None:
        """Make sure that a schedule goes on as it began, and so does an epoch that the run was stopped in.

        Raises:
            ValueError: If the run that is resumed had another length.
        """
        began = self._resumed_schedule
        if began is not None and tuple(began) != self._schedule:
            raise ValueError(
                f"a run goes on with its own schedule, of {began[0]} epochs of {began[1]} updates, not "
                f"{self._schedule[0]} of {self._schedule[1]}: keep trainer.max_epochs, data.batch_size and the number "
                "of processes, or start a new run from its weights"
            )
        if self.trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start()  # Lightning leaves it out
            for name, sums in self._resumed_terms.items() if self.trainer.is_global_zero else ():
                self._term_sums[name] += torch.tensor(sums, device=self.device)

    def on_fit_start(self) -> None:
        """Compile where the network now is."""
        if self._compile:
            self.trained.compile()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Tell timm's scheduler how many updates there were."""
        scheduler.step_update(self.global_step)

    def on_train_epoch_start(self) -> None:
        """Train what is to be trained, whatever validation and saving have done to it."""
        self.trained.train()

    def training_step(self, batch: TrainBatch, batch_idx: int) -> dict[str, Tensor]:
        """Average the loss over the images of all processes.

        Args:
            batch: What to train on.
            batch_idx: Number of the batch in the epoch.

        Returns:
            The ``loss``, and the ``adversarial`` images that were shown.
        """
        # Dropout and the like must depend neither on earlier draws nor on where a run was resumed.
        place = f"epoch {self.current_epoch}, batch {batch_idx}, process {self.global_rank}"
        torch.manual_seed(int(keyed_generator(self.seed, "training", place).integers(2**63)))
        losses, terms, shown = self.losses(batch)
        images = batch.weights.sum()
        # DDP averages the processes' gradients; with these factors that is the mean over the images of all of them.
        share = self.trainer.world_size / self._over_processes(images).clamp(min=1)
        loss = (losses * batch.weights).sum() * share
        self.log("train/loss", loss, prog_bar=True)
        self.log("learning_rate", max(group["lr"] for group in self._optimizer.param_groups))
        for name, term in terms.items():
            self._term_sums[name] += torch.stack([(term * batch.weights).sum(), images])
        return {"loss": loss, "adversarial": shown.detach()}

    def on_train_epoch_end(self) -> None:
        """Log the mean of each term of the loss over the epoch's images, those of all processes."""
        means = self.mean_terms()
        self._term_sums.clear()
        for name, mean in means.items():
            self.log(f"train/loss/{name}", mean, sync_dist=True)

    def mean_terms(self) -> dict[str, float]:
        """Return the mean of each term of the loss over the epoch's images so far; all processes must ask for it."""
        return {name: total / images for name, (total, images) in self._sum_terms().items() if images}

    def _sum_terms(self) -> dict[str, list[float]]:
        """Return, for each term of the loss, its sum over the images of all processes so far, and their number."""
        # Processes may have met other sources, so it takes more than a reduction of tensors.
        own = {name: sums.tolist() for name, sums in self._term_sums.items()}
        everyone = [own] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(everyone, own)
        names = sorted({name for sums in everyone for name in sums})
        return {name: [sum(v) for v in zip(*(s[name] for s in everyone if name in s), strict=True)] for name in names}

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's counts, and let each process validate as many batches as it has.

        DDP would exchange the buffers of batch normalizations in the first of them, and wait for ever for a process
        that has none. So they are exchanged here: all processes validate, and go on from, what the first one saves.
        """
        if isinstance(self.trainer.model, DistributedDataParallel):
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)
            self.trainer.model.require_forward_param_sync = False
        self._deployed = (self.deploy(),)
        self.robust_accuracy.reset()

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Count which images of a batch the model recognizes.

        Args:
            batch: Adversarial and clean images.
            batch_idx: Not used.
        """
        self.robust_accuracy.update(self._deployed[0], batch)

    def on_validation_epoch_end(self) -> None:
        """Log the accuracies over all processes."""
        self._deployed = ()
        # Every process has the same numbers already; their mean spares Lightning's warning that they might differ.
        self.log_dict(self.robust_accuracy.compute(), sync_dist=True)

    @property
    def _optimizer(self) -> Optimizer:
        optimizer: Optimizer = self.optimizers(use_pl_optimizer=False)  # type: ignore[assignment]
        return optimizer

    def _over_processes(self, value: Tensor) -> Tensor:
        """Return the sum of a scalar over all processes."""
        total = value.detach().clone()
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(total)  # Lightning's own would wait for the device first
        return total
