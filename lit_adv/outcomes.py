"""What each target made of each image, and what that says beyond the rates: by class, and over all targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_adv.shards.counts import ShardAnswers, ShardImages

Flags = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.int32]

_NAMED = 50  # images in a list


class Outcomes(NamedTuple):
    """What T targets made of N images of one shard, or of a part of it in the shard's order.

    Attributes:
        attack: The user's name of the attack.
        shard: File name of the shard.
        targets: The T targets' names.
        keys: The samples' keys.
        labels: int32 [N], true classes.
        clean: int32 [T, N], the targets' classes for the clean images; -1 where a target declines to decide.
        adversarial: int32 [T, N], the same for the adversarial images.
    """

    attack: str
    shard: str
    targets: list[str]
    keys: list[str]
    labels: Classes
    clean: Classes
    adversarial: Classes

    @property
    def fooled(self) -> Flags:
        """Bool [T, N]: whether the adversarial image is not given its label."""
        return np.not_equal(self.adversarial, self.labels)

    @property
    def correct(self) -> Flags:
        """Bool [T, N]: whether the clean image is given its label."""
        return np.equal(self.clean, self.labels)


def outcomes_of(images: ShardImages, answers: Mapping[str, ShardAnswers]) -> Outcomes:
    """Return what some targets, by name, made of an attack's images in a shard, from what is kept of it."""
    made = list(answers.values())
    return Outcomes(
        attack=images.attack,
        shard=images.shard,
        targets=list(answers),
        keys=images.keys,
        labels=np.array(images.labels, dtype=np.int32),
        clean=np.array([some.clean_predictions for some in made], dtype=np.int32),
        adversarial=np.array([some.predictions for some in made], dtype=np.int32),
    )


def join_parts(parts: Iterable[Outcomes], attacks: Sequence[str], targets: Sequence[str]) -> list[Outcomes]:
    """Join what is known of each shard from several sides: some targets' answers may have been kept before.

    Args:
        parts: Of all processes. Those of a shard have the same images, or the first of them where a run was limited.
        attacks: The attacks' order.
        targets: The targets' order; each is in one part of each shard.

    Returns:
        One for each attack and shard, by attack, then by the shard's name: the same however the work was shared.
    """
    whole: dict[tuple[int, str], list[Outcomes]] = defaultdict(list)
    for part in parts:
        if part.targets:
            whole[attacks.index(part.attack), part.shard].append(part)
    return [_join(found, targets) for _, found in sorted(whole.items(), key=lambda item: item[0])]


def _join(parts: Sequence[Outcomes], targets: Sequence[str]) -> Outcomes:
    shortest = min(parts, key=lambda part: len(part.keys))
    count = len(shortest.keys)
    rows = {name: (part, row) for part in parts for row, name in enumerate(part.targets)}
    found = [rows[name] for name in targets]
    return shortest._replace(
        targets=list(targets),
        clean=np.stack([part.clean[row, :count] for part, row in found]),
        adversarial=np.stack([part.adversarial[row, :count] for part, row in found]),
    )


class ClassCount(NamedTuple):
    """How one attack fares on the images of one class, over several targets together.

    Attributes:
        images: Images of the class.
        shown: Times one of them was shown to a target.
        fooled: How often the target was fooled.
        correct: How often the target was right about the clean image.
        correct_fooled: How often, of these, it was fooled.
    """

    images: int = 0
    shown: int = 0
    fooled: int = 0
    correct: int = 0
    correct_fooled: int = 0


def count_classes(outcomes: Iterable[Outcomes], judges: Mapping[str, Flags]) -> dict[int, dict[str, ClassCount]]:
    """Count by class and attack.

    Args:
        outcomes: What the targets made of the images.
        judges: For each attack bool [T], the targets that count.

    Returns:
        The counts by label, in order, and attack.
    """
    counts: dict[int, dict[str, ClassCount]] = defaultdict(dict)
    for part in outcomes:
        judging = judges[part.attack]
        fooled, correct = part.fooled[judging], part.correct[judging]
        labels, position = np.unique(part.labels, return_inverse=True)
        images = np.bincount(position)
        sums = [np.bincount(position, hits.sum(0)).astype(int) for hits in (fooled, correct, fooled & correct)]
        for label, *found in np.stack([labels, images, images * len(fooled), *sums], axis=1).tolist():
            before = counts[label].get(part.attack, ClassCount())
            counts[label][part.attack] = ClassCount(*map(sum, zip(before, found, strict=True)))
    return dict(sorted(counts.items()))


@dataclass
class Agreement:
    """How many targets an attack's images fool.

    Attributes:
        images: For k from 0 to the number of targets, how many images fool k of them.
        fool_none: The first images that fool none, as ``shard/key``.
        fool_all: The first images that fool all.
    """

    images: list[int]
    fool_none: list[str] = field(default_factory=list)
    fool_all: list[str] = field(default_factory=list)


def count_agreement(outcomes: Iterable[Outcomes], judges: Mapping[str, Flags]) -> dict[str, Agreement]:
    """Count by how many targets each image fools.

    Args:
        outcomes: What the targets made of the images.
        judges: For each attack bool [T], the targets that count.

    Returns:
        The counts by attack.
    """
    found: dict[str, Agreement] = {}
    for part in outcomes:
        judging = judges[part.attack]
        targets = int(judging.sum())
        agreement = found.setdefault(part.attack, Agreement([0] * (targets + 1)))
        times = part.fooled[judging].sum(0)
        for number, images in enumerate(np.bincount(times, minlength=targets + 1).tolist()):
            agreement.images[number] += images
        names = [f"{part.shard.removesuffix('.tar')}/{key}" for key in part.keys]
        for kept, wanted in ((agreement.fool_none, 0), (agreement.fool_all, targets)):
            kept += [name for name, count in zip(names, times, strict=True) if count == wanted]
            del kept[_NAMED:]
    return found
