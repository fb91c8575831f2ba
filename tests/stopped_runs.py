"""Commands as processes of their own that tests stop, started without importing torch anew for each."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

import lit_adv.reproduction.processes  # noqa: F401  # it has the server that forks import torch once
from lit_adv.cli.main import main

_context = get_context("forkserver")


@contextmanager
def running(arguments: Sequence[str], log: Path, pace: float) -> Iterator[ForkServerProcess]:
    """Start ``lit-adv``, with models of tests that take ``pace`` seconds a pass; it is gone afterwards."""
    log.touch()
    process = _context.Process(target=_run, args=[list(arguments), str(log), pace])
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _run(arguments: list[str], log: str, pace: float) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ |= {"OMP_NUM_THREADS": "1", "TEST_SECONDS_A_PASS": str(pace)}
    torch.set_num_threads(1)  # last bits depend on it, and torch has read the variable already
    sys.argv = ["lit-adv", *arguments]
    sys.modules["__main__"].__spec__ = find_spec("lit_adv.__main__")  # Lightning starts further processes by it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(arguments))


def wait_until(reached: Callable[[], bool], process: ForkServerProcess, log: Path) -> None:
    """Wait for something that a process is to do."""
    deadline = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < deadline, log.read_text()
        assert process.is_alive(), log.read_text()
        time.sleep(0.02)
