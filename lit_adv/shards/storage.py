"""Looking at storage, local or remote, and reading from it, through fsspec."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from lit_adv.shards.remote import IncompleteError, open_filesystem, persist, redact

MAX_SMALL_FILE = 64 * 2**20  # a sidecar names each skipped sample
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # as listings call a file's time


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


def file_times(folder: str) -> dict[str, float]:
    """Return when the files of a folder were last written, in seconds since 1970, by their names.

    Left out are those for which storage does not say so.
    """
    filesystem, path = open_filesystem(folder)

    def entries() -> list[dict[str, Any]]:
        filesystem.invalidate_cache()
        return list(filesystem.ls(path, detail=True))

    times = {str(entry["name"]).rpartition("/")[2]: _time(entry) for entry in persist("list", folder, entries)}
    return {name: time for name, time in times.items() if time is not None}


def _time(entry: dict[str, Any]) -> float | None:
    """Return what a listing says of a file's time, which each kind of storage calls and writes otherwise."""
    time = next((entry[name] for name in _TIMES if entry.get(name) is not None), None)
    with suppress(ValueError):
        time = datetime.fromisoformat(time) if isinstance(time, str) else time
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return float(time) if isinstance(time, int | float) else None


def is_folder(url: str) -> bool:
    """Tell whether there is a folder of that name."""
    filesystem, path = open_filesystem(url)
    return bool(persist("look at", url, lambda: filesystem.isdir(path)))


def exists(url: str) -> bool:
    """Tell whether there is a file or a folder of that name."""
    filesystem, path = open_filesystem(url)
    return bool(persist("look at", url, lambda: filesystem.exists(path)))


def expand_glob(pattern: str) -> list[str]:
    """Return the URLs that match a pattern, in the order of names.

    A folder that exists under the very name that is given is that folder, whatever characters are in it.
    """
    filesystem, path = open_filesystem(pattern)
    folder, _, last = path.rpartition("/")
    place = to_url(filesystem, folder)
    if any(character in folder for character in "*?[") and is_folder(place):
        return [join(place, name) for name in sorted(list_names(place)) if fnmatchcase(name, last)]
    return sorted(to_url(filesystem, match) for match in persist("list", pattern, lambda: filesystem.glob(path)))


def is_same_folder(one: str, other: str) -> bool:
    """Tell whether two URLs are of one folder, whichever way they lead there; it need not exist.

    Links, relative paths and different spellings of local paths are followed; of remote ones, a slash at the end.
    """
    paths = local_path(one), local_path(other)
    if paths[0] and paths[1]:
        return paths[0].resolve() == paths[1].resolve() or (
            paths[0].exists() and paths[1].exists() and paths[0].samefile(paths[1])
        )
    (filesystem, path), (other_filesystem, other_path) = open_filesystem(one), open_filesystem(other)
    return bool(filesystem == other_filesystem) and path.rstrip("/") == other_path.rstrip("/")


def folder_of(url: str) -> str:
    """Return the URL of the folder that a file is in."""
    filesystem, path = open_filesystem(url)
    return to_url(filesystem, path.rpartition("/")[0] or "/")


def read_bytes(urls: Sequence[str]) -> list[bytes]:
    """Return the contents of small files, in the order given.

    Raises:
        OSError: If one cannot be read, is not a plain file, or is larger than :data:`MAX_SMALL_FILE`.
    """
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(_read_small, urls))


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


def read_json(url: str) -> Any:
    """Return the contents of a JSON file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON; the message names it.
    """
    try:
        return json.loads(read_bytes([url])[0])
    except RecursionError as error:
        raise ValueError(f"{redact(url)} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{redact(url)} is damaged, for it is no JSON ({error})") from error


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


def _require_plain_file(path: Path) -> None:
    """Refuse what may block for ever when it is opened."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a plain file")
