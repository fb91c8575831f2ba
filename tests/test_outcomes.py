"""Counts beyond the rates, against a plain recount, and whichever way the work was shared."""

import numpy as np
import pytest

from lit_adv.outcomes import (
    Agreement,
    ClassCount,
    Outcomes,
    count_agreement,
    count_classes,
    join_parts,
    outcomes_of,
)
from lit_adv.shards.counts import ShardAnswers, ShardImages

ATTACKS = ["b", "a"]
TARGETS = ["t0", "t1", "t2"]


def part(attack: str, shard: str, labels: list[int], clean: list[list[int]], adversarial: list[list[int]]) -> Outcomes:
    arrays = (np.array(values, np.int32) for values in (labels, clean, adversarial))
    return Outcomes(attack, shard, TARGETS[: len(clean)], [f"{shard}-{n}" for n in range(len(labels))], *arrays)


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


def of_targets(whole: Outcomes, rows: list[int]) -> Outcomes:
    names = [whole.targets[row] for row in rows]
    return whole._replace(targets=names, clean=whole.clean[rows], adversarial=whole.adversarial[rows])


def assert_equal(joined: list[Outcomes], wanted: list[Outcomes]) -> None:
    assert [whole[:4] for whole in joined] == [whole[:4] for whole in wanted]
    for one, other in zip(joined, wanted, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[4:], other[4:], strict=True))


def test_parts_come_together_the_same_whichever_process_knew_them(outcomes: list[Outcomes]) -> None:
    first, second, third = outcomes
    kept, new, nothing = of_targets(first, [2]), of_targets(first, [0, 1]), of_targets(first, [])
    for order in ([kept, new, second, third], [third, second, new, kept], [new, third, nothing, kept, second]):
        assert_equal(join_parts(order, ATTACKS, TARGETS), outcomes)


def test_of_a_shard_that_a_limited_run_began_what_all_targets_saw_counts(outcomes: list[Outcomes]) -> None:
    first = outcomes[0]
    cut = slice(2)
    begun = first._replace(
        keys=first.keys[cut], labels=first.labels[cut], clean=first.clean[:, cut], adversarial=first.adversarial[:, cut]
    )
    joined = join_parts([of_targets(first, [1]), of_targets(begun, [0, 2])], ATTACKS, TARGETS)
    assert_equal(joined, [begun])


def test_kept_answers_are_outcomes() -> None:
    place = {"attack": "b", "shard": "s0.tar", "made_with": {}}
    images = ShardImages(**place, keys=["x", "y"], labels=[3, 4], aims=None, linf=[1, 2], l2=[5, 6], clean=["p", "q"])
    answers = ShardAnswers(**place, target="t1", predictions=[7, -1], clean_predictions=[3, 4])
    wanted = Outcomes("b", "s0.tar", ["t1"], ["x", "y"], *map(np.array, ([3, 4], [[3, 4]], [[7, -1]])))
    assert_equal([outcomes_of(images, {"t1": answers})], [wanted])
