"""The few operations that touch storage, local or remote, through fsspec.

Whatever is published appears under its name whole or not at all, and never replaces what is there already; but where
there are no hard links, of two processes that publish the same name at the same moment the later one does.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from lit_adv.data.remote import IncompleteError, open_filesystem, persist, redact

# The name says whose the file is: only the host that made it can tell whether its maker still lives.
_PARTIAL = ".partial"
_SCRATCH_SUFFIX = f".{platform.node() or 'localhost'}{_PARTIAL}"
MAX_SMALL_FILE = 64 * 2**20  # a sidecar names each skipped sample
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def join(folder: str, name: str) -> str:
    """Return the URL of ``name`` inside ``folder``."""
    return f"{folder.rstrip('/')}/{name}"


def local_path(url: str) -> Path | None:
    """Return the path of a local URL, None for a remote one."""
    filesystem, path = open_filesystem(url)
    return Path(path) if isinstance(filesystem, LocalFileSystem) else None


def to_url(filesystem: AbstractFileSystem, path: str) -> str:
    """Return what ``open_filesystem`` maps back to ``path``; a local path stays a plain path."""
    return path if isinstance(filesystem, LocalFileSystem) else str(filesystem.unstrip_protocol(path))


def list_names(folder: str) -> set[str]:
    """Return the names in a folder; none if there is no such folder."""
    filesystem, path = open_filesystem(folder)

    def entries() -> list[str]:
        filesystem.invalidate_cache()
        return list(map(str, filesystem.ls(path, detail=False)))

    try:
        return {entry.rstrip("/").rsplit("/", 1)[-1] for entry in persist("list", folder, entries)}
    except FileNotFoundError:
        return set()


def file_sizes(urls: Sequence[str]) -> dict[str, int]:
    """Return the sizes of files, in bytes; nothing for those whose storage does not list sizes, as web servers do not.

    Each folder is listed once, which on object storage is much faster than asking for each file.
    """
    folders: dict[tuple[AbstractFileSystem, str], list[tuple[str, str]]] = {}
    for url in urls:
        filesystem, path = open_filesystem(url)
        folder, _, name = path.rpartition("/")
        folders.setdefault((filesystem, folder or "/"), []).append((url, name))
    sizes: dict[str, int] = {}
    for (filesystem, folder), files in folders.items():
        listed = _list_sizes(filesystem, folder)
        sizes |= {url: size for url, name in files if (size := listed.get(name)) is not None}
    return sizes


def _list_sizes(filesystem: AbstractFileSystem, folder: str) -> dict[str, int | None]:
    def entries() -> list[dict[str, Any]]:
        filesystem.invalidate_cache()
        return list(filesystem.ls(folder, detail=True))

    listed = persist("list", to_url(filesystem, folder), entries)
    return {str(entry["name"]).rpartition("/")[2]: entry.get("size") for entry in listed}


def is_folder(url: str) -> bool:
    """Tell whether there is a folder of that name."""
    filesystem, path = open_filesystem(url)
    return bool(persist("look at", url, lambda: filesystem.isdir(path)))


def expand_glob(pattern: str) -> list[str]:
    """Return the URLs that match a pattern, in the order of names."""
    filesystem, path = open_filesystem(pattern)
    return sorted(to_url(filesystem, match) for match in persist("list", pattern, lambda: filesystem.glob(path)))


def prepare_folder(url: str) -> None:
    """Create a folder and make sure that files can be created in it.

    Raises:
        OSError: If the folder cannot be created or written.
    """
    filesystem, path = open_filesystem(url)
    try:
        persist("create", url, lambda: filesystem.makedirs(path, exist_ok=True))
        if isinstance(filesystem, LocalFileSystem):
            with scratch_file(url, "probe"):
                pass
    except OSError as error:
        raise OSError(
            f"cannot write into the folder {redact(url)} ({error}); choose another or free this one"
        ) from error


def read_bytes(urls: Sequence[str]) -> list[bytes]:
    """Return the contents of small files, in the order given.

    Raises:
        OSError: If one cannot be read, is not a plain file, or is larger than :data:`MAX_SMALL_FILE`.
    """
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(_read_small, urls))


def read_json(url: str) -> Any:
    """Return the contents of a JSON file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON.
    """
    try:
        return json.loads(read_bytes([url])[0])
    except RecursionError as error:
        raise ValueError(f"{redact(url)} is nested too deeply") from error


def remove(url: str) -> None:
    """Remove a file; it may be gone already."""
    filesystem, path = open_filesystem(url)
    with suppress(FileNotFoundError):
        persist("remove", url, lambda: filesystem.rm_file(path))


@contextmanager
def staged(url: str) -> Iterator[BufferedReader]:
    """Open a file for seeking, after copying it to local disk if it is remote.

    A dropped connection thus is an error here, never a short file.

    Raises:
        OSError: If the file cannot be read whole.
    """
    if path := local_path(url):
        _require_plain_file(path)
        with path.open("rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile() as copy:
        persist("read", url, partial(_download, url, copy.name))
        file = Path(copy.name).open("rb")  # noqa: SIM115
    # The copy has no name any more, so it goes with the process, however that ends.
    with file:
        yield file


def _download(url: str, local_file: str) -> None:
    filesystem, path = open_filesystem(url)
    filesystem.get_file(path, local_file)
    expected, received = filesystem.info(path).get("size"), Path(local_file).stat().st_size
    if expected is not None and received != expected:
        raise IncompleteError(f"{received} of {expected} bytes arrived")


def sha256(file: BufferedReader | BufferedRandom) -> str:
    """Return the SHA-256 of a whole file, in hexadecimal."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


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
        path = folder / f".{name}.{uuid4().hex}{_SCRATCH_SUFFIX}"
        with path.open("x+b") as file:
            try:
                with suppress(OSError):  # without locks, nobody can take the file for a stale one either
                    fcntl.flock(file, fcntl.LOCK_EX)
                if path.exists():  # else another process took it for one before it was locked
                    yield file
                    return
            finally:
                path.unlink(missing_ok=True)


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
            f"{redact(url)} exists with other bytes than {local_file}, made from the same input and settings. If it is "
            "left over from an older run or from other software versions, delete it and run again"
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
    with scratch_file(str(Path(path).parent), Path(path).name) as file:
        file.write(content)
        file.flush()
        _create_from_file(file.name, url)


def replace(url: str, content: bytes) -> None:
    """Write a small file at once and whole, in place of the one that may be there."""
    filesystem, path = open_filesystem(url)
    if not isinstance(filesystem, LocalFileSystem):
        persist("write", url, lambda: filesystem.pipe_file(path, content))
        return
    with scratch_file(str(Path(path).parent), Path(path).name) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(path)
    _sync(Path(path).parent)


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


def _read_small(url: str) -> bytes:
    filesystem, path = open_filesystem(url)
    if isinstance(filesystem, LocalFileSystem):
        _require_plain_file(Path(path))

    def read() -> bytes:
        size = filesystem.size(path)
        if size is not None and size > MAX_SMALL_FILE:
            raise ValueError(f"it has {size} bytes; a file of its kind has at most {MAX_SMALL_FILE}")
        return bytes(filesystem.cat_file(path))

    try:
        return persist("read", url, read)
    except ValueError as error:
        raise OSError(f"cannot read {redact(url)}: {error}") from error


def _require_plain_file(path: Path) -> None:
    """Refuse what may block for ever when it is opened."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a plain file")


def _scratch_folder(destination: str) -> Path:
    return local_path(destination) or Path(tempfile.gettempdir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
