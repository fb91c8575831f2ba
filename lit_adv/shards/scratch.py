"""Local temporary files for what is to be published, told from those that killed processes left."""

from __future__ import annotations

import fcntl
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from uuid import uuid4

from lit_adv.shards.storage import local_path

# The name says whose the file is: only the host that made it can tell whether its maker still lives.
_PARTIAL = ".partial"
_SHOWN = 100  # bytes of the name of what is made: a host's has up to 64, and a file's no more than 255
_SCRATCH_SUFFIX = f".{platform.node() or 'localhost'}{_PARTIAL}"


@contextmanager
def scratch_file(destination: str, name: str) -> Iterator[BufferedRandom]:
    """Make a local temporary file for something that is to be published in the folder ``destination``.

    The file lies beside its destination, so that publishing is a link and not a copy, or in the system's
    temporary folder if the destination is remote. It is gone when the context ends. Its lock tells other
    processes that its maker lives, see :func:`remove_stale_scratch`.

    Yields:
        The file, open for reading and writing; its ``name`` is its path.
    """
    folder = _scratch_folder(destination)
    while True:
        path = folder / scratch_name(name)
        with path.open("x+b") as file:
            try:
                with suppress(OSError):  # without locks, nobody can take the file for a stale one either
                    fcntl.flock(file, fcntl.LOCK_EX)
                if path.exists():  # else another process took it for one before it was locked
                    yield file
                    return
            finally:
                path.unlink(missing_ok=True)


def scratch_name(name: str) -> str:
    """Return a name of its own for a temporary file of what is to be published as ``name``."""
    shown = name.encode()[:_SHOWN].decode(errors="ignore")
    return f".{shown}.{uuid4().hex}{_SCRATCH_SUFFIX}"


def remove_stale_scratch(destination: str) -> None:
    """Remove the temporary files that killed processes of this host left for ``destination``."""
    for path in _scratch_folder(destination).glob(f".*{_SCRATCH_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:  # locked: its maker lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def is_scratch(name: str) -> bool:
    """Tell whether a file's name is that of a temporary file, of whatever host."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def is_in_use(url: str) -> bool:
    """Tell whether a temporary file's maker lives; sure only on the host where it was made."""
    path = local_path(url)
    if path is None or not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _scratch_folder(destination: str) -> Path:
    return local_path(destination) or Path(tempfile.gettempdir())
