"""Counts beyond the rates, from what is kept of an evaluation, against a plain recount."""

import numpy as np
import pytest

from lit_adv.outcomes import Agreement, ClassCount, Outcomes, count_agreement, count_classes, from_counts
from lit_adv.shards.counts import ShardAnswers, ShardImages
from lit_adv.shards.kept_counts import Counted


def part(attack: str, shard: str, labels: list[int], clean: list[list[int]], adversarial: list[list[int]]) -> Outcomes:
    arrays = (np.array(values, np.int32) for values in (labels, clean, adversarial))
    return Outcomes(attack, shard, [f"{shard}-{n}" for n in range(len(labels))], *arrays)


@pytest.fixture
def outcomes() -> list[Outcomes]:
    return [
        part("b", "s0.tar", [0, 1, 0], [[0, 1, 2], [0, 1, 0], [0, 0, 0]], [[5, 5, 5], [0, 5, -1], [0, 5, 0]]),
        part("b", "s1.tar", [1], [[1], [1], [1]], [[1], [1], [1]]),
        part("a", "s0.tar", [0, 1, 0], [[0, 1, 2], [0, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 1, 0], [0, 1, 0]]),
    ]


@pytest.fixture
def judges() -> dict[str, np.ndarray]:
    """For attack b the first target does not count."""
    return {"b": np.array([False, True, True]), "a": np.array([True, True, True])}


def test_classes_are_counted_over_the_judging_targets(outcomes: list[Outcomes], judges: dict[str, np.ndarray]) -> None:
    counts = count_classes(outcomes, judges)
    assert list(counts) == [0, 1]
    # Class 0 under b: images 0 and 2, two judges; the second judge abstains on image 2, which it knew when clean.
    assert counts[0]["b"] == ClassCount(images=2, shown=4, fooled=1, correct=4, correct_fooled=1)
    # Class 1: image 1 fools both, of which one knew it; the image of the other shard fools none.
    assert counts[1]["b"] == ClassCount(images=2, shown=4, fooled=2, correct=3, correct_fooled=1)
    assert counts[0]["a"] == ClassCount(images=2, shown=6, fooled=0, correct=5, correct_fooled=0)


def test_images_are_counted_by_how_many_targets_they_fool(
    outcomes: list[Outcomes], judges: dict[str, np.ndarray]
) -> None:
    agreement = count_agreement(outcomes, judges)
    assert agreement["b"] == Agreement([2, 1, 1], ["s0/s0.tar-0", "s1/s1.tar-0"], ["s0/s0.tar-1"])
    assert agreement["a"].images == [3, 0, 0, 0]


def test_a_list_of_images_is_short_however_many_there_are() -> None:
    labels = [0] * 200
    many = part("a", "s0.tar", labels, [labels], [labels])
    agreement = count_agreement([many], {"a": np.array([True])})["a"]
    assert agreement.images == [200, 0]
    assert len(agreement.fool_none) == 50


def test_outcomes_are_what_is_kept_of_those_shards_that_all_targets_have_seen() -> None:
    images = ShardImages("b", "s0.tar", {}, ["k0", "k1"], [3, 4], None, [1, 1], [0, 0], ["", ""])
    answers = {
        name: ShardAnswers("b", "s0.tar", {}, name, predictions, clean)
        for name, predictions, clean in (("x", [3, -1], [3, 4]), ("y", [9, 4], [3, 0]))
    }
    partly = Counted(images, {"x": answers["x"]})
    [found] = from_counts([Counted(images, answers), partly], ["y", "x"])
    wanted = part("b", "s0.tar", [3, 4], [[3, 0], [3, 4]], [[9, 4], [3, -1]])
    assert (found.attack, found.shard, found.keys) == ("b", "s0.tar", ["k0", "k1"])
    assert all(np.array_equal(a, b) for a, b in zip(found[3:], wanted[3:], strict=True))
