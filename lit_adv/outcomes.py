"""What each target made of each image, and what that says beyond the rates: by class, and over all targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_adv.shards.kept_counts import Counted

Flags = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.int32]

_NAMED = 50  # images in a list


class Outcomes(NamedTuple):
    """What T targets made of the N images of one shard, in the shard's order.

    Attributes:
        attack: The user's name of the attack.
        shard: File name of the shard.
        keys: The samples' keys.
        labels: int32 [N], true classes.
        clean: int32 [T, N], the targets' classes for the clean images; -1 where a target declines to decide.
        adversarial: int32 [T, N], the same for the adversarial images.
    """

    attack: str
    shard: str
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


def from_counts(counted: Iterable[Counted], targets: Sequence[str]) -> list[Outcomes]:
    """Return what the kept counts of an evaluation say of each image.

    Args:
        counted: One for each attack and shard; those that not all targets have been shown are left out.
        targets: The targets' names, in the order of the outcomes' rows.
    """
    return [
        Outcomes(
            attack=images.attack,
            shard=images.shard,
            keys=images.keys,
            labels=np.array(images.labels, np.int32),
            clean=np.array([answers[target].clean_predictions for target in targets], np.int32),
            adversarial=np.array([answers[target].predictions for target in targets], np.int32),
        )
        for images, answers in counted
        if answers.keys() >= set(targets)
    ]


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
