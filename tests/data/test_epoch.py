"""The plan of an epoch: which samples make up which batch."""

import math
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_adv.data.epoch import EpochPlan, Place, PlannedBatch, count_batches

Counts = dict[str, dict[str, int]]

streams = st.dictionaries(
    st.sampled_from(["pairs", "clean"]),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1),
    min_size=1,
)
sizes = {"batch_size": st.integers(1, 7), "shuffle_buffer": st.integers(1, 40), "seed": st.integers(0, 99)}


def all_places(counts: dict[str, int]) -> set[Place]:
    return {Place(shard, number) for shard, count in counts.items() for number in range(count)}


@given(counts=streams, epoch=st.integers(0, 5), **sizes)
def test_an_epoch_has_every_sample_of_every_stream_once(
    counts: Counts, batch_size: int, shuffle_buffer: int, seed: int, epoch: int
) -> None:
    plan = EpochPlan(counts, batch_size, shuffle_buffer, seed, epoch)
    batches = [plan[number] for number in range(len(plan))]
    assert len(batches) == count_batches(counts, batch_size)
    for name, shards in counts.items():
        mine = [batch.places for batch in batches if batch.stream == name]
        planned = [place for places in mine for place in places]
        assert len(planned) == len(set(planned))
        assert set(planned) == all_places(shards)
        assert all(len(places) == batch_size for places in mine[:-1])  # the last one may be smaller


@given(counts=streams, **sizes)
def test_a_shard_is_over_once_no_batch_of_its_stream_needs_it(
    counts: Counts, batch_size: int, shuffle_buffer: int, seed: int
) -> None:
    plan = EpochPlan(counts, batch_size, shuffle_buffer, seed, epoch=0)
    opened, over = set[tuple[str, str]](), set[tuple[str, str]]()
    for number in range(len(plan)):
        stream, places = plan[number]
        over |= {(name, shard) for name, shard in opened if name == stream and plan.is_over(shard, number)}
        needed = {(stream, shard) for shard, _ in places}
        assert not over & needed
        opened |= needed


@pytest.mark.parametrize("take", [None, 940, 2570])
def test_only_shards_within_the_shuffle_buffer_are_open_at_a_time_and_are_opened_once_a_round(
    take: int | None,
) -> None:
    counts = {"pairs": {f"{number:03d}": 10 for number in range(100)}}
    takes = {} if take is None else {"pairs": take}
    plan = EpochPlan(counts, batch_size=10, shuffle_buffer=50, seed=0, epoch=1, takes=takes)
    opened: set[str] = set()
    most = openings = 0
    for number in range(len(plan)):
        opened = {shard for shard in opened if not plan.is_over(shard, number)}
        needed = {shard for shard, _ in plan[number].places}
        openings += len(needed - opened)
        opened |= needed
        most = max(most, len(opened))
    assert most <= 2 * 50 / 10 + 2
    assert openings == (take or 1000) / 10


@given(
    counts=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1),
    take=st.integers(0, 100),
    **sizes,
)
def test_epochs_that_take_part_of_a_stream_go_round_it(
    counts: dict[str, int], take: int, batch_size: int, shuffle_buffer: int, seed: int
) -> None:
    total, seen = sum(counts.values()), Counter[Place](dict.fromkeys(all_places(counts), 0))
    for epoch in range(5):
        streams = {"pairs": {"a": 5}, "clean": counts}
        plan = EpochPlan(streams, batch_size, shuffle_buffer, seed, epoch, {"clean": take})
        assert len(plan) == count_batches(streams, batch_size, {"clean": take})
        places = [place for batch in _batches(plan) if batch.stream == "clean" for place in batch.places]
        assert len(places) == take
        assert max(Counter(places).values(), default=0) <= math.ceil(take / total)
        seen.update(places)
        assert max(seen.values()) - min(seen.values()) <= 1
        assert sum(len(batch.places) for batch in _batches(plan) if batch.stream == "pairs") == 5


@given(shards=st.integers(1, 6), count=st.integers(1, 9), shuffle_buffer=st.integers(1, 60), seed=st.integers(0, 99))
def test_a_sample_moves_by_less_than_the_shuffle_buffer(
    shards: int, count: int, shuffle_buffer: int, seed: int
) -> None:
    counts = {"pairs": {str(number): count for number in range(shards)}}
    order = [p.places[0] for p in _batches(EpochPlan(counts, 1, shuffle_buffer, seed, epoch=0))]
    unmoved = [p.places[0] for p in _batches(EpochPlan(counts, 1, 1, seed, epoch=0))]
    assert all(abs(unmoved.index(place) - number) < shuffle_buffer for number, place in enumerate(order))


def test_without_a_shuffle_buffer_shards_come_shuffled_but_whole() -> None:
    counts = {"pairs": {str(number): 4 for number in range(20)}}
    order = [batch.places[0] for batch in _batches(EpochPlan(counts, 1, 1, seed=0, epoch=0))]
    shards = [shard for shard, _ in groupby(order, lambda place: place.shard)]
    assert len(shards) == 20
    assert shards != sorted(shards, key=int)
    assert [place.number for place in order] == 20 * [0, 1, 2, 3]


def test_a_large_shuffle_buffer_sends_samples_anywhere() -> None:
    counts = {"pairs": {"a": 500, "b": 500}}
    order = [batch.places[0] for batch in _batches(EpochPlan(counts, 1, 10_000, seed=0, epoch=0))]
    early = sum(place.shard == "a" for place in order[:500])
    assert 200 < early < 300


def test_the_streams_are_mixed_evenly() -> None:
    plan = EpochPlan({"pairs": {"a": 600}, "clean": {"b": 300}}, batch_size=1, shuffle_buffer=1, seed=0, epoch=0)
    for start in range(0, 900, 300):
        assert 160 < sum(plan[number].stream == "pairs" for number in range(start, start + 300)) < 240


def test_the_plan_depends_on_seed_and_epoch_but_not_on_the_order_in_which_shards_are_named() -> None:
    counts = {"pairs": {"a": 5, "b": 6, "c": 7}}
    other = {"pairs": {"c": 7, "a": 5, "b": 6}}
    plans = {(seed, epoch): _batches(EpochPlan(counts, 4, 8, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len({str(plan) for plan in plans.values()}) == len(plans)
    assert all(_batches(EpochPlan(other, 4, 8, *key)) == plan for key, plan in plans.items())


def _batches(plan: EpochPlan) -> list[PlannedBatch]:
    return [plan[number] for number in range(len(plan))]
