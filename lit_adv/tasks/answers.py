"""What targets say of the images that are shown to them, put together shard by shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_adv.data.evaluation import PairBatch
from lit_adv.models import to_float
from lit_adv.shards.counts import L2_UNIT, ShardAnswers, ShardImages
from lit_adv.shards.kept_counts import Counted, KeptCounts, Pair
from lit_adv.tasks.targets import Target


@dataclass
class _OpenShard:
    """The batches so far of an attack's images in one shard, and each target's answers for them."""

    batches: list[PairBatch] = field(default_factory=list)
    predictions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    clean_predictions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Answers:
    """Shows batches to those targets whose answers are missing.

    Attacks on the same images share the clean ones, which each target classifies once.

    Args:
        targets: All targets.
        missing: Those that are to answer, by name, for each attack's name and shard's file name.
        kept: What is counted already, and where; None if nothing is kept.
    """

    def __init__(
        self, targets: Sequence[Target], missing: Mapping[Pair, Sequence[str]], kept: KeptCounts | None
    ) -> None:
        self._targets = {target.name: target for target in targets}
        self._missing = missing
        self._kept = kept
        self._open: dict[Pair, _OpenShard] = defaultdict(_OpenShard)
        self._clean: dict[str, dict[str, dict[str, int]]] = {}  # by shard, target and the image's digest
        self._left = defaultdict[str, int](int)  # attacks to come, by shard
        for _, shard in missing:
            self._left[shard] += 1

    def show(self, batch: PairBatch) -> Tensor:
        """Show a batch to the targets that have not seen it.

        Returns:
            Their classes for the adversarial images, int64 [targets, B], on the CPU.
        """
        pair = batch.attack, batch.shard
        shard, names = self._open[pair], self._missing[pair]
        pixels = to_float(batch.adversarial)
        answers = torch.stack([self._targets[name].predict(pixels, batch.keys) for name in names]).cpu()
        clean = self._show_clean(batch, names)
        for name, predictions in zip(names, answers.tolist(), strict=True):
            shard.predictions[name] += predictions
            shard.clean_predictions[name] += clean[name]
        shard.batches.append(batch.without_images())
        return answers

    def finish(self, batch: PairBatch) -> Counted | None:
        """Return what has come of a shard if the batch was its last."""
        if not batch.last:
            return None
        self._left[batch.shard] -= 1
        if not self._left[batch.shard]:
            self._clean.pop(batch.shard, None)
        pair = batch.attack, batch.shard
        return self._put_together(pair, self._open.pop(pair))

    def unfinished(self) -> list[Counted]:
        """Return what there is of shards that were begun, as where the number of batches is limited."""
        return [self._put_together(pair, shard) for pair, shard in self._open.items()]

    def _show_clean(self, batch: PairBatch, names: Sequence[str]) -> dict[str, list[int]]:
        known = self._clean.setdefault(batch.shard, {})
        self._recall(batch.shard, [name for name in names if name not in known], known)
        unseen = [name for name in names if not known[name].keys() >= set(batch.clean_digests)]
        if unseen:
            pixels = to_float(batch.clean)
            answers = torch.stack([self._targets[name].predict(pixels, batch.keys) for name in unseen]).tolist()
            for name, predictions in zip(unseen, answers, strict=True):
                known[name] |= zip(batch.clean_digests, predictions, strict=True)
        return {name: [known[name][digest] for digest in batch.clean_digests] for name in names}

    def _recall(self, shard: str, names: Sequence[str], known: dict[str, dict[str, int]]) -> None:
        """Add what is kept of targets' answers for a shard's clean images, which other attacks may share."""
        known |= {name: {} for name in names}
        if self._kept is None or not names:
            return
        pairs = [(attack, shard) for attack in self._kept.attacks_on(shard)]
        wanted = {pair: [name for name in names if name not in self._missing.get(pair, ())] for pair in pairs}
        for images, answers in self._kept.read_some({pair: some for pair, some in wanted.items() if some}):
            for name, answer in answers.items():
                known[name] |= zip(images.clean, answer.clean_predictions, strict=True)

    def _put_together(self, pair: Pair, shard: _OpenShard) -> Counted:
        """Return the records of what was shown and answered."""
        batches, made = shard.batches, self._kept.made_with if self._kept else lambda *_: {}
        images = ShardImages(
            *pair,
            made_with=made(*pair),
            keys=[key for batch in batches for key in batch.keys],
            labels=_join([batch.labels for batch in batches]),
            aims=None if batches[0].targets is None else _join([b.targets for b in batches if b.targets is not None]),
            linf=_join([batch.linf for batch in batches]),
            l2=_join([(batch.l2 / L2_UNIT).round().long() for batch in batches]),
            clean=[digest for batch in batches for digest in batch.clean_digests],
        )
        answers = {
            name: ShardAnswers(*pair, made(*pair, name), name, predictions, shard.clean_predictions[name])
            for name, predictions in shard.predictions.items()
        }
        return Counted(images, answers)


def _join(values: Sequence[Tensor]) -> list[int]:
    joined: list[int] = torch.cat(list(values)).tolist()
    return joined
