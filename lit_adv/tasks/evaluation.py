"""How well adversarial images transfer, as a LightningModule's test step."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_adv import __version__
from lit_adv.attacks import grey_levels, parse_eps
from lit_adv.data.evaluation import PairBatch
from lit_adv.metrics import TransferMetric
from lit_adv.models import keep_freed_memory, optimize
from lit_adv.paper import paper_success
from lit_adv.peers import Peers
from lit_adv.report import Cell
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.counts import L2_UNIT, ShardAnswers, ShardImages
from lit_adv.shards.kept_counts import Counted, KeptCounts, Pair
from lit_adv.tasks.answers import Answers
from lit_adv.tasks.targets import TargetSpec, check_target, load_targets


class EvaluationTask(LightningModule):
    """Shows adversarial images, and the clean ones they were made from, to models that never saw them.

    What a target makes of a shard is kept as soon as it has seen all of it, so a run that is stopped, or repeated with
    another target or attack, counts what is missing and nothing else. The sums are the same whatever was kept.

    The data module says what was attacked: its ``attacks`` maps each attack's name to an :class:`AttackedFolder`. It is
    told by ``read_only`` which shards are missing.

    Args:
        targets: The models, each a spec such as ``timm:inception_v4.tf_in1k``, a defended model such as
            ``defense:jpeg(wheel:efficientnet_lite1, quality=75)``, or the equivalent mapping; see
            :func:`lit_adv.tasks.targets.load_targets`.
        counts: The folder in which counts are kept, local or remote; None keeps none. The command line takes it from
            ``report.path``.

    Attributes:
        cells: What each attack achieves against each target, attack by attack; complete after a test run.
        kept: What is counted already, and where; None if nothing is kept.
    """

    def __init__(self, targets: list[TargetSpec], counts: str | None = None) -> None:
        super().__init__()
        keep_freed_memory()
        self.targets = load_targets(targets)
        # Registered so that they move to the device.
        self.networks = nn.ModuleList(optimize(target.module) for target in self.targets)
        self.metrics: dict[Pair, TransferMetric] = {}
        self.cells: list[Cell] = []
        self.kept: KeptCounts | None = None
        self._counts = counts

    def setup(self, stage: str) -> None:
        """Look up what is counted already, and prepare one metric for each pair of an attack and a target.

        Raises:
            ValueError: If a target cannot be shown the attacks' images.
            OSError: If counts cannot be kept.
        """
        attacks = self._attacks
        seen = {(f.config["data"]["image_size"], f.config["data"]["num_classes"]) for f in attacks.values()}
        for target in self.targets:
            for image_size, num_classes in sorted(seen):
                check_target(target, image_size, num_classes)
        names = [target.name for target in self.targets]
        self.metrics = {
            (attack, name): TransferMetric(_budget(folder)) for attack, folder in attacks.items() for name in names
        }
        # Registered so that they move to the device; a module's name, unlike an attack's, must not hold dots.
        self.counters = nn.ModuleList(self.metrics.values())
        if self._counts is not None:
            records = {target.name: target.record for target in self.targets}
            self.kept = KeptCounts(self._counts, attacks, records, self._settings())
        # One process looks and tells the others: the folder may change while they look.
        missing = self._look_up(names) if self.trainer.is_global_zero else {}
        missing = self.trainer.strategy.broadcast(missing)
        self.trainer.datamodule.read_only(missing.keys())  # type: ignore[attr-defined]
        self.answers = Answers(self.targets, missing, self.kept)
        self._peers = Peers(None)

    def test_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Show a batch to every target that has not seen it, and keep what is known of its shard if that is all.

        Args:
            batch: Adversarial and clean images of one shard.
            batch_idx: Not used; random defenses draw from the samples' keys.

        Returns:
            These targets' classes for the adversarial images, int64 [targets, B].
        """
        answers = self.answers.show(batch)
        if (counted := self.answers.finish(batch)) is not None:
            if self.kept is not None:
                self.kept.keep(counted)
            self._count(counted)
        return answers

    def on_test_epoch_end(self) -> None:
        """Gather the counts of all processes into :attr:`cells`, and log the success rates.

        Raises:
            RuntimeError: If another process has died.
        """
        for counted in self.answers.unfinished():
            self._count(counted)
        # One may have a whole shard left, and shards take long with some defenses: longer than collectives wait.
        self._peers.gather(None)
        self.cells = [
            Cell(
                attack=attack,
                surrogate=" + ".join(folder.config["model"]["surrogate"]),
                target=target.name,
                white_box=not target.weights.isdisjoint(folder.config["model"]["surrogate"].values()),
                budget=_budget(folder),
                paper=paper_success(folder.config["model"], target.name),
                result=self.metrics[attack, target.name].compute(),
            )
            for attack, folder in self._attacks.items()
            for target in self.targets
        ]
        rates = {f"transfer/{cell.attack}/{cell.target}": cell.result.success.value for cell in self.cells}
        # Every process has the same rates already; their mean spares Lightning's warning that they might differ.
        self.log_dict(rates, sync_dist=True)

    @property
    def _attacks(self) -> dict[str, AttackedFolder]:
        attacks: dict[str, AttackedFolder] = self.trainer.datamodule.attacks  # type: ignore[attr-defined]
        return attacks

    def _settings(self) -> dict[str, Any]:
        """Return what has a part in a prediction's last bits, and with it now and then in the class."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return {
            "batch_size": data.batch_size,
            "precision": str(self.trainer.precision),
            "device": self.trainer.strategy.root_device.type,
            "versions": {"lit_adv": __version__, "timm": version("timm"), "torch": torch.__version__},
        }

    def _look_up(self, names: Sequence[str]) -> dict[Pair, list[str]]:
        """Count what is kept, and return which targets' answers are missing for each attack and shard."""
        missing = {(attack, shard): list(names) for attack, folder in self._attacks.items() for shard in folder.shards}
        files = len(missing) * len(names)
        if self.kept is not None:
            self.kept.prepare()
            for counted in self.kept.read():
                self._count(counted)
                pair = counted.images.attack, counted.images.shard
                missing[pair] = [name for name in names if name not in counted.answers]
        missing = {pair: some for pair, some in missing.items() if some}
        left = sum(map(len, missing.values()))
        rank_zero_info(
            f"{files - left} of {files} counts (of an attack, a shard and a target) are kept; {len(missing)} shards "
            "are to be read"
        )
        return missing

    def _count(self, counted: Counted) -> None:
        for name, answers in counted.answers.items():
            _update(self.metrics[counted.images.attack, name], counted.images, answers)


def _update(metric: TransferMetric, images: ShardImages, answers: ShardAnswers) -> None:
    """Add what a target makes of a shard to a metric."""
    metric.update(
        torch.tensor(answers.predictions),
        torch.tensor(images.labels),
        clean_predictions=torch.tensor(answers.clean_predictions),
        targets=None if images.aims is None else torch.tensor(images.aims),
        linf=torch.tensor(images.linf),
        l2=torch.tensor(images.l2, dtype=torch.float64) * L2_UNIT,
    )


def _budget(folder: AttackedFolder) -> int | None:
    """Return the L-infinity budget that an attack was given, in grey levels; None if it was given none."""
    eps = folder.config["model"]["attack_options"].get("eps")
    return None if eps is None else grey_levels(parse_eps(eps))
