"""Writes outside a folder, seen by Python's audit events: also those to absolute paths and through links."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# How many of an event's arguments, from which one, are names that it changes.
_NAMES = {
    "os.mkdir": slice(0, 1), "os.rename": slice(0, 2), "os.link": slice(1, 2), "os.symlink": slice(1, 2),
    "os.remove": slice(0, 1), "os.rmdir": slice(0, 1),
}  # fmt: skip
_watches: list[tuple[Path, list[str]]] = []


@contextmanager
def writes_outside(folder: Path) -> Iterator[list[str]]:
    """Yield a list of what any thread of this process writes outside ``folder`` until the context ends.

    Only what goes through Python is seen. Python stores no compiled modules meanwhile.
    """
    watch = (folder.resolve(), list[str]())
    stores_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _watches.append(watch)
    try:
        yield watch[1]
    finally:
        _watches.remove(watch)
        sys.dont_write_bytecode = stores_none


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    for place in _changed(event, arguments):
        for folder, seen in _watches:
            if not place.is_relative_to(folder):
                seen.append(f"{event} {place}")


def _changed(event: str, arguments: tuple[Any, ...]) -> list[Path]:
    if event == "open" and arguments[2] & _WRITES:
        return [Path(os.fsdecode(arguments[0])).resolve()]
    names = [Path(os.fsdecode(name)) for name in arguments[_NAMES[event]]] if event in _NAMES else []
    return [name.parent.resolve() / name.name for name in names]  # a link itself, not where it leads


sys.addaudithook(_note)  # for as long as the process lives
