"""``lit-adv status``."""

from __future__ import annotations

import argparse
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from lit_adv.errors import MendableError
from lit_adv.shards import publish, storage
from lit_adv.shards.counts import COUNTS_FOLDER
from lit_adv.shards.job import JOB_FILE
from lit_adv.shards.remote import redact
from lit_adv.shards.verify.report import printable

_CONFIG, _RESULTS, _HISTORY, _CLEAN = "config.yaml", "results.json", "history.json", "clean.json"


class _Kind(NamedTuple):
    """A kind of folder: the file by which it is known, and the module that describes it."""

    file: str
    module: str


# A module is imported when it is needed: that for jobs of generation takes no torch.
_KINDS = (
    _Kind(JOB_FILE, "lit_adv.cli.status_of_job"),
    _Kind(_RESULTS, "lit_adv.cli.status_of_results"),
    _Kind(COUNTS_FOLDER, "lit_adv.cli.status_of_counts"),
    _Kind(_HISTORY, "lit_adv.cli.status_of_training"),
)


class Status(NamedTuple):
    """How far a run is.

    Attributes:
        text: What to print.
        complete: Whether there is nothing more to come.
        page: Makes the page; its argument is the number of seconds after which it loads itself again, None for never.
            None while there can be no page.
    """

    text: str
    complete: bool
    page: Callable[[float | None], bytes] | None


def status(arguments: Sequence[str], prog: str = "lit-adv status") -> int:
    """Say how far a run is.

    Returns:
        0; 130, as shells have it, if watching was ended by Ctrl-C.

    Raises:
        MendableError: If the folder is not that of a run, it has no page yet, or storage fails.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Say how far a generation job, a training run or an evaluation is, from its folder alone, so from "
        "anywhere and while it runs.",
    )
    parser.add_argument("folder", help="the run's folder, local or remote")
    parser.add_argument("--html", metavar="FILE", help="also write a page to look at")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=10.0,
        type=_seconds,
        help="look again and again, every 10 seconds or as many as given, until nothing more is to come",
    )
    options = parser.parse_args(arguments)
    try:
        while not _tell(options.folder, options.html, options.watch):
            time.sleep(options.watch)
            print(flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


def _tell(folder: str, html: str | None, watch: float | None) -> bool:
    """Look, and say what is seen; tell whether that was the last look."""
    file = None if html is None else str(Path(html).absolute())
    try:
        found = _look(folder)
        if file and found.page:
            publish.replace(file, found.page(None if found.complete else watch))
        elif file and watch is None:
            raise ValueError(
                f"{redact(folder)} is an evaluation that has no page until all is counted; leave out --html"
            )
    except (OSError, ValueError) as error:
        raise MendableError(printable(str(error))) from error
    print(found.text, flush=True)
    if file:
        print(f"page      {file}" if found.page else "page      when all is counted", flush=True)
    return found.complete or watch is None


def _look(folder: str) -> Status:
    names = storage.list_names(folder)
    for kind in _KINDS:
        if kind.file in names:
            found: Status = import_module(kind.module).look(folder)
            return found
    if _CLEAN in names:
        raise FileNotFoundError(
            f"{redact(folder)} has the clean accuracy of models, which is all counted: see {_CLEAN}"
        )
    if _CONFIG in names:
        raise FileNotFoundError(f"{redact(folder)} shows nothing yet: its run has only begun, or did not come far")
    raise FileNotFoundError(
        f"{redact(folder)} is not the folder of a run: it holds neither {', '.join(kind.file for kind in _KINDS[:-1])} "
        f"nor {_KINDS[-1].file}"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.1 <= seconds <= 1e6:
        raise ArgumentTypeError(f"must be a number of seconds from 0.1, got {text!r}")
    return seconds
