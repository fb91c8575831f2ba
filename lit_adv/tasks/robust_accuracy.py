"""How well a model in training withstands attacks: the validation of every epoch."""

from collections.abc import Iterable
from statistics import fmean

import torch
from torch import Tensor, nn

from lit_adv.attacks import LiveAttack
from lit_adv.data.evaluation import PairBatch
from lit_adv.metrics import ROBUST_ACCURACY, TransferMetric
from lit_adv.models import to_float

#: Stands for the attack on the model itself where the others are called by the names of adversarial sets.
SELF = "self"


class RobustAccuracy(nn.Module):
    """Counts which images a model recognizes: clean, of each adversarial set, and attacked on the fly.

    Adversarial sets on the same clean images share these, which are classified and attacked once.

    Args:
        sets: Names of the adversarial sets.
        attack: The attack on the model itself.
        seed: Of the attack. It is the same in every epoch, so that epochs can be compared.
    """

    def __init__(self, sets: Iterable[str], attack: LiveAttack, seed: int) -> None:
        super().__init__()
        self._attack = attack
        self._seed = seed
        self._seen: set[str] = set()
        self._counts = {name: TransferMetric() for name in [*sets, SELF]}
        # Registered so that they move to the device; a module's name, unlike a set's, must not hold dots.
        self._counters = nn.ModuleList(self._counts.values())

    def reset(self) -> None:
        """Forget what was counted."""
        self._seen = set()
        for metric in self._counts.values():
            metric.reset()

    @torch.no_grad()
    def update(self, model: nn.Module, batch: PairBatch) -> None:
        """Count a batch.

        Args:
            model: Maps [0, 1] images to logits; in eval mode.
            batch: Images of one adversarial set, and the clean ones they were made from.
        """
        self._counts[batch.attack].update(_classify(model, to_float(batch.adversarial)), batch.labels)
        if batch.clean_digest in self._seen:
            return
        self._seen.add(batch.clean_digest)
        clean = to_float(batch.clean)
        attacked = self._attack(model, clean, batch.labels, batch.keys, self._seed)
        self._counts[SELF].update(_classify(model, attacked), batch.labels, clean_predictions=_classify(model, clean))

    def compute(self) -> dict[str, float]:
        """Gather the counts of all processes.

        Returns:
            ``val/clean_accuracy``; ``val/accuracy/<set>`` for each adversarial set and for ``self``; and their mean,
            :data:`ROBUST_ACCURACY`. The mean, since the attack on the model itself leaves most models no accuracy at
            large budgets, where the smallest could not tell them apart.
        """
        results = {name: metric.compute() for name, metric in self._counts.items()}
        robust = {name: 1 - result.success.value for name, result in results.items()}
        return {
            "val/clean_accuracy": results[SELF].clean_accuracy.value,
            # Where not all batches are validated, a set may have had none.
            ROBUST_ACCURACY: fmean(robust[name] for name, result in results.items() if result.success.total),
            **{f"val/accuracy/{name}": accuracy for name, accuracy in robust.items()},
        }


def _classify(model: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = model(images)
    return logits.argmax(1)
