"""A local folder that appears as a whole: it is filled under another name beside its place."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a folder that takes the place of ``folder`` when the body ends, and is removed if the body fails.

    Args:
        folder: Must be empty, or not be there.
        names: What the body may write into the folder; these are removed first, should a killed process have left them.

    Raises:
        OSError: If ``folder`` holds anything, cannot be made, or another process is about to make it.
    """
    folder = folder.resolve()
    _refuse_taken(folder)
    staging = folder.with_name(f".{folder.name}.partial")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise OSError(f"cannot write into {folder.parent} ({error}); choose another folder") from error
    try:
        _lock(descriptor, folder)
        _clear(staging, names)
        try:
            yield staging
            staging.rename(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already and is not an empty folder; name another, or remove it")
    if folder.is_mount():
        raise OSError(f"{folder} is a mount point; name a folder in it")


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileExistsError(f"another process is writing {folder}") from None
    except OSError:
        return  # a file system without locks


def _clear(staging: Path, names: Sequence[str]) -> None:
    for path in (staging / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if any(staging.iterdir()):
        raise FileExistsError(f"{staging} holds other things than a killed process would have left; remove it")
