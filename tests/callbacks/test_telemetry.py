"""From the tallies of all processes to metrics and to a table."""

from dataclasses import replace

import pytest

from lit_adv.callbacks.tally import Tally
from lit_adv.callbacks.telemetry import Failure, failures, metrics, rank_speeds, table

FIRST = Tally(
    images=30, fooled=24, clean_correct=20, clean_correct_fooled=16, linf_sum=480, l2_sum=60.0,
    shards_assigned=2, shards_done=2, seconds=10.0,
    seconds_waiting=1.0, seconds_attacking=7.5, seconds_blocked=0.5, seconds_writing=3.0, memory_bytes=2**30,
    ended=True,
)  # fmt: skip
SECOND = Tally(
    images=10, fooled=10, clean_correct=5, clean_correct_fooled=5, linf_sum=80, l2_sum=5.0,
    shards_assigned=3, shards_done=1, samples_done=10, samples_known=20,
    shards_known=2, failed={"s3://me:secret@host/b.tar": "it is cut off"}, seconds=16.0, seconds_waiting=2.0,
    seconds_attacking=13.0, memory_bytes=2**29,
)  # fmt: skip


def test_totals_weigh_each_image_alike() -> None:
    logged = metrics([FIRST, SECOND])
    assert (logged["images"], logged["shards_done"], logged["shards_failed"]) == (40, 3, 1)
    assert logged["fooled_share"] == 34 / 40
    assert logged["clean_accuracy"] == 25 / 40
    assert logged["fooled_share_on_correct"] == 21 / 25
    assert logged["linf_mean"] == 560 / 40
    assert logged["l2_mean"] == 65 / 40
    assert logged["images_per_second"] == 40 / 16


def test_each_process_has_its_part() -> None:
    logged = metrics([FIRST, SECOND])
    assert [logged[f"images/rank{rank}"] for rank in (0, 1)] == [30, 10]
    assert [logged[f"shards_failed/rank{rank}"] for rank in (0, 1)] == [0, 1]
    assert [logged[f"seconds_waiting/rank{rank}"] for rank in (0, 1)] == [1.0, 2.0]
    assert [logged[f"seconds_attacking/rank{rank}"] for rank in (0, 1)] == [7.5, 13.0]
    assert [logged[f"seconds_blocked/rank{rank}"] for rank in (0, 1)] == [0.5, 0.0]
    assert [logged[f"seconds_writing/rank{rank}"] for rank in (0, 1)] == [3.0, 0.0]
    assert [logged[f"memory_gib/rank{rank}"] for rank in (0, 1)] == [1.0, 0.5]


def test_times_and_memory_add_up() -> None:
    logged = metrics([FIRST, SECOND])
    names = ("seconds_waiting", "seconds_attacking", "seconds_blocked", "seconds_writing", "memory_gib")
    assert [logged[name] for name in names] == [3.0, 20.5, 0.5, 3.0, 1.5]


def test_the_run_has_as_long_to_go_as_its_slowest_process() -> None:
    logged = metrics([FIRST, SECOND])
    assert logged["seconds_left/rank0"] == 0
    assert logged["seconds_left"] == logged["seconds_left/rank1"] == pytest.approx(10 * 16 / 10)
    assert "seconds_left" not in metrics([FIRST, Tally()])


def test_a_process_that_hangs_slows_down_and_one_that_has_ended_does_not() -> None:
    hanging = Tally(images=30, seconds=10.0)
    assert rank_speeds([FIRST, hanging, SECOND]) == [3.0, 30 / 16, 10 / 16]


def test_nothing_is_divided_by_nothing() -> None:
    logged = metrics([Tally()])
    assert logged["images_per_second"] == 0
    assert "fooled_share" not in logged


def test_failures_name_the_shard_without_its_credentials() -> None:
    assert failures([FIRST, SECOND]) == [Failure("s3://***@host/b.tar", "it is cut off", 1)]


def test_the_table_has_a_line_for_each_process_and_their_sum() -> None:
    head, first, second, total = table([FIRST, SECOND]).splitlines()
    assert len({len(line) for line in (head, first, second, total)}) == 1
    assert first.split() == ["rank", "0", "3.00", "30", "20", "24", "2", "0", "1.0", "7.5", "0.5", "3.0", "1.00"]
    assert second.split() == ["rank", "1", "0.62", "10", "5", "10", "1", "1", "2.0", "13.0", "0.0", "0.0", "0.50"]
    assert total.split() == ["all", "2.50", "40", "25", "34", "3", "1", "3.0", "20.5", "0.5", "3.0", "1.50"]


def test_images_that_an_attack_failed_on_have_a_column_only_if_there_are_any() -> None:
    assert "unchanged" not in table([FIRST, SECOND])
    failed = replace(SECOND, unchanged=4, not_finite=3)
    head, first, second, total = (line.split() for line in table([FIRST, failed]).splitlines())
    assert head[:6] == ["images/s", "images", "correct", "fooled", "unchanged", "not"]
    assert [line[-9:-7] for line in (first, second, total)] == [["0", "0"], ["4", "3"], ["4", "3"]]
    logged = metrics([FIRST, failed])
    assert (logged["unchanged"], logged["not_finite"], logged["not_finite/rank1"]) == (4, 3, 3)


def test_without_an_image_that_was_right_when_clean_there_is_no_share_of_these() -> None:
    logged = metrics([Tally(images=4, fooled=4)])
    assert (logged["clean_accuracy"], logged["fooled_share"]) == (0, 1)
    assert "fooled_share_on_correct" not in logged
