"""What the processes of a run know of each other. Lost ones: tests/test_preemption.py and tests/test_hosts.py."""

import time
from pathlib import Path

import torch.distributed as dist
import torch.multiprocessing as mp

from lit_adv.peers import Peers


def test_a_process_alone_knows_its_own_latest_note_and_waits_for_nobody() -> None:
    peers = Peers("begun")
    assert peers.notes == ["begun"]
    peers.post("half done")
    assert peers.notes == ["half done"]
    assert peers.gather(7) == [7]


def _work(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    peers = Peers(f"begun by {rank}")
    assert peers.notes[rank] == f"begun by {rank}"
    peers.post(f"half done by {rank}")
    while peers.notes != ["half done by 0", "half done by 1"]:  # neither has to do anything for it
        time.sleep(0.1)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    if rank == 1:
        time.sleep(2)
    assert peers.gather(10 + rank, meanwhile=look) == [10, 11]
    assert looks > 0 or rank == 1
    dist.destroy_process_group()


def test_notes_travel_while_the_processes_work_and_at_the_end_each_has_what_all_say(tmp_path: Path) -> None:
    mp.spawn(_work, args=(tmp_path,), nprocs=2)
