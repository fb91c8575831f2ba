"""What the processes of a run know of each other while they work; two real ones are tried in test_tracking.py."""

import logging

import pytest
import torch.distributed as dist

from lit_adv.data.bulletin import Bulletin


class LostStore:
    """Stands in for a store whose host is gone."""

    def set(self, key: str, value: str) -> None:
        """Fail as torch's does."""
        raise dist.DistNetworkError("Connection reset by peer")


def test_a_process_alone_reads_its_own_latest_note() -> None:
    board = Bulletin("begun")
    assert board.read() == ["begun"]
    board.post("half done")
    assert board.read() == ["half done"]


def test_a_store_that_is_lost_costs_the_notes_and_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    board = Bulletin("begun")
    board._store = LostStore()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            board.post("half done")
    assert board.read() == ["half done"]
    assert [record.message for record in caplog.records] == [
        "no more news of the other processes until all have ended: Connection reset by peer"
    ]
