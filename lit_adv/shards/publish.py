"""Changing storage, local or remote.

Whatever is published appears under its name whole or not at all, and never replaces what is there already. Storage of
objects can promise both at once, and so can hard links. Elsewhere, as on SFTP, SMB and HDFS, a file is moved to its
name if that is still free; of two processes that do so at the same moment, the later one replaces the other's file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from lit_adv.shards import scratch
from lit_adv.shards.remote import open_filesystem, persist, redact
from lit_adv.shards.storage import sha256, staged, to_url

#: Storage of buckets, or containers, whose ``makedirs`` makes a missing one: a mistyped one, on somebody's account.
_BUCKETS = {"s3", "gs", "abfs"}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def prepare_folder(url: str) -> None:
    """Create a folder and make sure that files can be created in it; a bucket must be there.

    Raises:
        OSError: If the folder cannot be created or written, or there is no such bucket.
    """
    filesystem, path = open_filesystem(url)
    protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
    try:
        if protocols & _BUCKETS:
            # Makes nothing, since buckets have no folders, but fails without the bucket.
            bucket = path.partition("/")[0]
            in_bucket = partial(filesystem.mkdir, f"{bucket}/folder", create_parents=False)
            persist("look at", to_url(filesystem, bucket), in_bucket)
        else:
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
        write = partial(_pipe, filesystem, content)
        persist("create", url, partial(_upload, filesystem, path, write))
        return
    with scratch.scratch_file(str(Path(path).parent), Path(path).name) as file:
        file.write(content)
        file.flush()
        _create_from_file(file.name, url)


def replace(url: str, content: bytes) -> None:
    """Write a small file at once and whole, in place of the one that may be there."""
    filesystem, path = open_filesystem(url)
    if not isinstance(filesystem, LocalFileSystem):
        write = partial(_pipe, filesystem, content)
        persist("write", url, partial(_upload, filesystem, path, write, in_place=True))
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
        write = partial(filesystem.put_file, local_file)
        persist("upload", url, partial(_upload, filesystem, path, write))
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


def _streams(filesystem: AbstractFileSystem) -> bool:
    """Tell whether a file stands under its name, cut short, while it is uploaded: storage that can rename is such."""
    return not isinstance(filesystem, AsyncFileSystem) and type(filesystem).mv is not AbstractFileSystem.mv


def _pipe(filesystem: AbstractFileSystem, content: bytes, path: str, **options: Any) -> None:
    filesystem.pipe_file(path, content, **options)  # file systems call the content differently


def _upload(filesystem: AbstractFileSystem, path: str, write: Callable[..., object], in_place: bool = False) -> None:
    """Upload a remote file whole.

    Args:
        filesystem: Where to.
        path: The file's path there.
        write: Uploads it to a path; its ``mode="create"`` is to replace nothing.
        in_place: Whether it is to take the place of the one that may be there.

    Raises:
        FileExistsError: If there is a file of its name, and it is not to take its place.
    """
    if _streams(filesystem):
        _upload_aside(filesystem, path, write, in_place)
    elif in_place:
        write(path)
    else:
        write(path, mode="create")


def _upload_aside(filesystem: AbstractFileSystem, path: str, write: Callable[..., object], in_place: bool) -> None:
    """Upload a file under another name, for the upload may be cut short, and then move it to its own."""
    folder, _, name = path.rpartition("/")
    aside = f"{folder}/{scratch.scratch_name(name)}"
    try:
        write(aside)
        if not in_place and _is_there(filesystem, path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    except BaseException:
        with suppress(Exception):  # the first error counts; if it was the connection, the file stays
            filesystem.rm_file(aside)
        raise
    try:
        filesystem.mv(aside, path)
    except Exception:
        if not (in_place and _is_there(filesystem, path)):
            with suppress(Exception):
                filesystem.rm_file(aside)
            raise
        # Not every storage moves a file onto another. Where the new file has been moved all the same, nothing is lost.
        filesystem.info(aside)
        with suppress(FileNotFoundError):
            filesystem.rm_file(path)
        filesystem.mv(aside, path)


def _is_there(filesystem: AbstractFileSystem, path: str) -> bool:
    """Tell whether there is a file. A lost connection is an error here, which fsspec's ``exists`` takes for no."""
    try:
        filesystem.info(path)
    except FileNotFoundError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
