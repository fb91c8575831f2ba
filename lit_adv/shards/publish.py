"""Changing storage, local or remote.

Whatever is published appears under its name whole or not at all, and never replaces what is there already; but where
there are no hard links, of two processes that publish the same name at the same moment the later one does.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from lit_adv.shards import scratch
from lit_adv.shards.remote import open_filesystem, persist, redact
from lit_adv.shards.storage import sha256, staged

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def prepare_folder(url: str) -> None:
    """Create a folder and make sure that files can be created in it.

    Raises:
        OSError: If the folder cannot be created or written.
    """
    filesystem, path = open_filesystem(url)
    try:
        persist("create", url, lambda: filesystem.makedirs(path, exist_ok=True))
        if isinstance(filesystem, LocalFileSystem):
            with scratch.scratch_file(url, "probe"):
                pass
    except OSError as error:
        raise OSError(
            f"cannot write into the folder {redact(url)} ({error}); choose another or free this one"
        ) from error


def publish(local_file: str, url: str) -> None:
    """Make a finished local file appear at ``url``, whole and exactly once.

    Args:
        local_file: The file; nobody may write to it any more.
        url: Where it is to appear. A file with the same bytes may be there already: the process may have been
            killed just after publishing, or a twin was faster.

    Raises:
        FileExistsError: If a file with other bytes is there.
    """
    try:
        _create_from_file(local_file, url)
    except FileExistsError:
        with staged(url) as present, Path(local_file).open("rb") as made:
            if sha256(present) == sha256(made):
                return
        raise FileExistsError(
            f"{redact(url)} exists with other bytes than those made now, and no sidecar proves that this job made it. "
            "It may be of an older run, of other software versions, or data of yours: move it to another folder and "
            "run again"
        ) from None


def create_exclusive(url: str, content: bytes) -> None:
    """Create a small file at once and whole.

    Raises:
        FileExistsError: If there is a file already, whatever it holds.
    """
    filesystem, path = open_filesystem(url)
    if not isinstance(filesystem, LocalFileSystem):
        persist("create", url, lambda: filesystem.pipe_file(path, content, mode="create"))
        return
    with scratch.scratch_file(str(Path(path).parent), Path(path).name) as file:
        file.write(content)
        file.flush()
        _create_from_file(file.name, url)


def replace(url: str, content: bytes) -> None:
    """Write a small file at once and whole, in place of the one that may be there."""
    filesystem, path = open_filesystem(url)
    if not isinstance(filesystem, LocalFileSystem):
        persist("write", url, lambda: filesystem.pipe_file(path, content))
        return
    with scratch.scratch_file(str(Path(path).parent), Path(path).name) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(path)
    _sync(Path(path).parent)


def remove(url: str) -> None:
    """Remove a file; it may be gone already."""
    filesystem, path = open_filesystem(url)
    with suppress(FileNotFoundError):
        persist("remove", url, lambda: filesystem.rm_file(path))


def _create_from_file(local_file: str, url: str) -> None:
    filesystem, path = open_filesystem(url)
    if not isinstance(filesystem, LocalFileSystem):
        persist("upload", url, lambda: filesystem.put_file(local_file, path, mode="create"))
        return
    _sync(Path(local_file))
    try:
        Path(path).hardlink_to(local_file)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links two processes may both pass this check; of twins the bytes are the same.
        if Path(path).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        Path(local_file).rename(path)
    _sync(Path(path).parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
