"""Processes that run commands of ``lit-adv``, without importing torch anew for each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NoReturn

from lit_adv.errors import PreemptedError

#: What runs the arguments behind ``lit-adv``, and returns the exit status.
Main = Callable[[Sequence[str]], int]

_MODULES = ("lit_adv.cli.generate", "lit_adv.cli.evaluate", "lit_adv.cli.clean")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*_MODULES, "lit_adv.reproduction.timing"])


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """Raise PreemptedError in the body, once, when this process is sent SIGTERM or SIGINT."""
    handlers = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def start_command(main: Main, arguments: Sequence[str], log: Path) -> ForkServerProcess:
    """Start ``lit-adv`` with some arguments, as a process of its own.

    All such processes are forked from one that has imported what takes seconds to import. Otherwise they are what a
    shell would start: Lightning, too, which starts the further processes of a run by their command line, finds it.

    Args:
        main: Runs the arguments behind ``lit-adv``, and returns the exit status.
        arguments: What stands behind ``lit-adv``.
        log: The file for what the process says.

    Returns:
        The process. It stops if this one ends.
    """
    return _start(_run_command, main, list(arguments), str(log))


def start_function(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start a function of a module as a process of its own, which ends with this one."""
    return _start(_run_function, function, *arguments, daemon=True)


def _start(function: Callable[..., None], *arguments: Any, daemon: bool = False) -> ForkServerProcess:
    process = _context.Process(target=function, args=arguments, daemon=daemon)
    process.start()
    return process


def _run_command(main: Main, arguments: list[str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    _obey_parent()
    sys.argv = ["lit-adv", *arguments]
    # Lightning reads from here how the process was started.
    sys.modules["__main__"].__spec__ = find_spec("lit_adv.__main__")
    sys.exit(main(arguments))


def _run_function(function: Callable[..., None], *arguments: Any) -> None:
    _obey_parent()
    function(*arguments)


def _obey_parent() -> None:
    """Stop when the parent says so, or is gone; Ctrl-C reaches the parent alone."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_stop_with_parent, daemon=True).start()


def _stop(*_: Any) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # ending in order takes a while
    raise PreemptedError


def _stop_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
