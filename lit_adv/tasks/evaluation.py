"""How well adversarial images transfer, as a LightningModule's test step."""

from itertools import chain
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_adv.attacks import grey_levels, parse_eps
from lit_adv.data.evaluation import PairBatch
from lit_adv.metrics import TransferMetric
from lit_adv.models import keep_freed_memory, optimize, to_float
from lit_adv.outcomes import Classes, Outcomes, join_parts
from lit_adv.paper import paper_success
from lit_adv.peers import Peers
from lit_adv.report import Cell
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.tasks.targets import TargetSpec, check_target, load_targets


class EvaluationTask(LightningModule):
    """Shows adversarial images, and the clean ones they were made from, to models that never saw them.

    The data module says what was attacked: its ``attacks`` maps each attack's name to an :class:`AttackedFolder`.

    Args:
        targets: The models, each a spec such as ``timm:inception_v4.tf_in1k``, a defended model such as
            ``defense:jpeg(wheel:efficientnet_lite1, quality=75)``, or the equivalent mapping; see
            :func:`lit_adv.tasks.targets.load_targets`.

    Attributes:
        cells: What each attack achieves against each target, attack by attack; complete after a test run.
        outcomes: What the targets made of each image, one part for each attack and shard; complete after a test run.
    """

    def __init__(self, targets: list[TargetSpec]) -> None:
        super().__init__()
        keep_freed_memory()
        self.targets = load_targets(targets)
        # Registered so that they move to the device.
        self.networks = nn.ModuleList(optimize(target.module) for target in self.targets)
        self.metrics: dict[str, nn.ModuleList] = {}
        self.cells: list[Cell] = []
        self.outcomes: list[Outcomes] = []
        self._clean_predictions: dict[str, list[Tensor]] = {}

    def setup(self, stage: str) -> None:
        """Prepare one metric for each pair of an attack and a target.

        Raises:
            ValueError: If a target cannot be shown the attacks' images.
        """
        seen = {(f.config["data"]["image_size"], f.config["data"]["num_classes"]) for f in self._attacks.values()}
        for target in self.targets:
            for image_size, num_classes in sorted(seen):
                check_target(target, image_size, num_classes)
        self.metrics = {
            attack: nn.ModuleList(TransferMetric(_budget(folder)) for _ in self.targets)
            for attack, folder in self._attacks.items()
        }
        # Registered so that they move to the device; a module's name, unlike an attack's, must not hold dots.
        self.counters = nn.ModuleList(self.metrics.values())
        self._clean_predictions = {}
        self.outcomes = []
        self._peers = Peers(None)

    def test_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Show a batch to every target.

        Args:
            batch: Adversarial and clean images of one shard.
            batch_idx: Not used; random defenses draw from the samples' keys.

        Returns:
            The targets' classes for the adversarial images, int64 [targets, B].
        """
        predictions = self._predict(batch.adversarial, batch.keys)
        # Attacks on the same images share the clean ones, which are classified once.
        if batch.clean_digest not in self._clean_predictions:
            self._clean_predictions[batch.clean_digest] = self._predict(batch.clean, batch.keys)
        clean_predictions = self._clean_predictions[batch.clean_digest]
        counters: Any = self.metrics[batch.attack]
        for metric, predicted, clean_predicted in zip(counters, predictions, clean_predictions, strict=True):
            metric.update(
                predicted,
                batch.labels,
                clean_predictions=clean_predicted,
                targets=batch.targets,
                linf=batch.linf,
                l2=batch.l2,
            )
        answers, clean_answers = torch.stack(predictions), torch.stack(clean_predictions)
        self.outcomes.append(
            Outcomes(batch.attack, batch.shard, batch.keys, *map(_to_array, (batch.labels, clean_answers, answers)))
        )
        return answers

    def on_test_epoch_end(self) -> None:
        """Gather what all processes found into :attr:`cells` and :attr:`outcomes`, and log the success rates.

        Raises:
            RuntimeError: If another process has died.
        """
        # One may have a whole shard left, and shards take long with some defenses: longer than collectives wait.
        parts = chain.from_iterable(self._peers.gather(self.outcomes))
        self.outcomes = join_parts(parts, list(self._attacks))
        counters: Any = self.metrics
        self.cells = [
            Cell(
                attack=attack,
                surrogate=" + ".join(folder.config["model"]["surrogate"]),
                target=target.name,
                white_box=not target.weights.isdisjoint(folder.config["model"]["surrogate"].values()),
                budget=_budget(folder),
                paper=paper_success(folder.config["model"], target.name),
                result=metric.compute(),
            )
            for attack, folder in self._attacks.items()
            for target, metric in zip(self.targets, counters[attack], strict=True)
        ]
        rates = {f"transfer/{cell.attack}/{cell.target}": cell.result.success.value for cell in self.cells}
        # Every process has the same rates already; their mean spares Lightning's warning that they might differ.
        self.log_dict(rates, sync_dist=True)

    @property
    def _attacks(self) -> dict[str, AttackedFolder]:
        attacks: dict[str, AttackedFolder] = self.trainer.datamodule.attacks  # type: ignore[attr-defined]
        return attacks

    def _predict(self, images: Tensor, keys: list[str]) -> list[Tensor]:
        pixels = to_float(images)
        return [target.predict(pixels, keys) for target in self.targets]


def _to_array(classes: Tensor) -> Classes:
    return classes.cpu().numpy().astype(np.int32)


def _budget(folder: AttackedFolder) -> int | None:
    """Return the L-infinity budget that an attack was given, in grey levels; None if it was given none."""
    eps = folder.config["model"]["attack_options"].get("eps")
    return None if eps is None else grey_levels(parse_eps(eps))
