"""The numbers of one process."""

from dataclasses import replace

import pytest

from lit_adv.callbacks.tally import Tally

HALFWAY = Tally(shards_assigned=4, samples_done=30, samples_known=40, shards_known=2, seconds=6.0)


def test_the_time_left_follows_from_the_speed_and_the_size_of_the_shards_so_far() -> None:
    # 20 samples a shard, 4 shards: 80 samples, of which 30 took 6 seconds.
    assert HALFWAY.seconds_left == pytest.approx(50 * 6 / 30)


def test_a_shard_that_failed_is_not_waited_for() -> None:
    assert replace(HALFWAY, failed={"x": "gone"}).seconds_left == pytest.approx(30 * 6 / 30)


def test_the_time_left_is_unknown_before_the_first_sample_and_nothing_at_the_end() -> None:
    assert Tally(shards_assigned=4, seconds=5.0).seconds_left is None
    assert Tally(ended=True).seconds_left == 0
    assert replace(HALFWAY, samples_done=200).seconds_left == 0
