"""How processes and workers divide an epoch's batches."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lit_adv.data.batch_sampler import BatchIndex, BatchSampler, deal_runs

counts = {"count": st.integers(1, 60), "world_size": st.integers(1, 9), "workers": st.integers(0, 5)}


def divide(count: int, world_size: int, workers: int) -> list[list[BatchIndex]]:
    return [list(BatchSampler(range(count), rank, world_size, workers)) for rank in range(world_size)]


@given(**counts)
def test_every_batch_goes_to_one_process_once(count: int, world_size: int, workers: int) -> None:
    own = [index.number for share in divide(count, world_size, workers) for index in share if not index.repeated]
    assert sorted(own) == list(range(count))


@given(**counts)
def test_all_processes_have_equally_many_batches_of_which_at_most_one_is_repeated(
    count: int, world_size: int, workers: int
) -> None:
    shares = divide(count, world_size, workers)
    assert {len(share) for share in shares} == {math.ceil(count / world_size)}
    assert len(BatchSampler(range(count), 0, world_size, workers)) == len(shares[0])
    assert all(sum(index.repeated for index in share) <= 1 for share in shares)
    assert all(0 <= index.number < count for share in shares for index in share)


@given(count=st.integers(0, 60), hands=st.integers(1, 7))
def test_a_worker_that_takes_its_turn_gets_consecutive_batches(count: int, hands: int) -> None:
    dealt = deal_runs(count, hands)
    assert sorted(dealt) == list(range(count))
    for hand in range(hands):
        run = dealt[hand::hands]
        assert run == list(range(run[0], run[0] + len(run))) if run else count < hands


def test_the_epoch_is_the_one_set_last() -> None:
    sampler = BatchSampler(range(3), 0, 1, 0)
    assert {index.epoch for index in sampler} == {0}
    sampler.set_epoch(5)
    assert {index.epoch for index in sampler} == {5}


@given(**counts, now=st.integers(0, 5), steps=st.integers(0, 20))
def test_steps_that_were_taken_are_left_out_once_whatever_workers_there_are_now(
    count: int, world_size: int, workers: int, now: int, steps: int
) -> None:
    for rank in range(world_size):
        begun = list(BatchSampler(range(count), rank, world_size, workers))
        sampler = BatchSampler(range(count), rank, world_size, now)
        sampler.skip(steps, workers)
        assert list(sampler) == begun[steps:]
        assert sorted(sampler) == sorted(begun)
