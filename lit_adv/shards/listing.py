"""From what a user writes (a pattern, a list, a folder) to the list of shards it means."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from braceexpand import braceexpand

from lit_adv.shards import storage
from lit_adv.shards.remote import open_filesystem, redact

logger = logging.getLogger(__name__)

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")

# Names that the output folder keeps for itself: a shard of that name would have its sidecar there.
_RESERVED = {"job", "manifest", "_info", "_shards"}
FAILURE_PREFIX = "_failed-"

_NAMED = 5  # files in one message
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")


def shard_name(url: str) -> str:
    """Return the name under which everything about a shard is filed.

    Example:
        >>> shard_name("s3://bucket/train/imagenet-000017.tar")
        'imagenet-000017'
        >>> shard_name("https://host/a.TAR?signature=x/y")
        'a'
    """
    name = file_name(url)
    return name[: -len(".tar")] if is_tar_name(name) else name


def file_name(url: str) -> str:
    """Return the last part of a URL's path."""
    return PurePosixPath(urlsplit(url).path if is_http(url) else url).name


def is_image_name(name: str) -> bool:
    """Tell whether a file's name is that of an image."""
    return PurePosixPath(name).suffix.lower().removeprefix(".") in IMAGE_EXTENSIONS


def is_image_extension(extension: str) -> bool:
    """Tell whether the files of a sample with this lower-case extension are images, as those with ``clean.png`` are."""
    return extension.rpartition(".")[2] in IMAGE_EXTENSIONS


def is_tar_name(name: str) -> bool:
    """Tell whether a file's name is that of a tar archive that is not compressed."""
    return name.lower().endswith(".tar")


def list_shards(shards: str | Sequence[str]) -> list[str]:
    """List the shards that a pattern, a list or a folder stands for.

    Args:
        shards: A tar file, a brace pattern (``train-{000000..000099}.tar``), a glob, a folder of tar files, or a
            list of these; local, or remote with any scheme that fsspec knows. What exists under the very name that
            is given is no pattern, whatever characters are in it.

    Returns:
        The shards' URLs, each at least one, in the order given; a glob or a folder in the order of names. Of what a
        glob or a folder holds beside tar files nothing is a shard.

    Raises:
        FileNotFoundError: If a pattern matches nothing or a shard is missing.
        ValueError: If two shards have the same name, a folder or a glob has compressed ones, or a URL is of a kind that
            is refused.
    """
    patterns = [shards] if isinstance(shards, str) else list(shards)
    names_of = cache(storage.list_names)
    found: list[str] = []
    for pattern in patterns:
        if pattern.startswith("pipe:"):
            raise ValueError(f"{pattern!r} would run a shell command; name the shards by path or URL instead")
        for url in [pattern] if _exists(pattern) else braceexpand(pattern):
            # A web server lists nothing, so a shard missing there is found out when it is read.
            found += [url] if is_http(url) else _expand(url)
    for url in found:
        if is_http(url):
            continue
        filesystem, path = open_filesystem(url)
        folder, _, name = path.rpartition("/")
        if name not in names_of(storage.to_url(filesystem, folder or "/")):
            raise FileNotFoundError(f"there is no shard {redact(url)}; correct the list of shards")
    if not found:
        raise FileNotFoundError("no shards: the list is empty")
    _check_names(found)
    return found


def _exists(pattern: str) -> bool:
    """Tell whether what looks like a pattern is the name of a file or a folder."""
    return not is_http(pattern) and any(character in pattern for character in "*?[{") and storage.exists(pattern)


def _expand(url: str) -> list[str]:
    """Expand a glob or a folder; anything else is a shard."""
    if any(character in url for character in "*?[") and not _exists(url):
        matches = storage.expand_glob(url)
        if not matches:
            raise FileNotFoundError(f"no file matches {redact(url)!r}; correct the pattern of the shards")
        tars = _choose_tars(url, matches) or matches
        if others := [file_name(match) for match in matches if match not in set(tars)]:
            logger.warning("%s matches files that are no shards: %s", redact(url), ", ".join(others[:_NAMED]))
        return tars
    if not storage.is_folder(url):
        return [url]
    names = storage.list_names(url)
    tars = _choose_tars(url, [storage.join(url, name) for name in sorted(names)])
    if not tars:
        raise FileNotFoundError(f"the folder {redact(url)} holds no .tar files{_image_hint(url, names)}")
    return tars


def _choose_tars(pattern: str, urls: Sequence[str]) -> list[str]:
    """Return the tar files among others, which may be their companions.

    Raises:
        ValueError: If some are compressed, for they would be left out.
    """
    visible = [url for url in urls if not file_name(url).startswith(".")]
    if compressed := [url for url in visible if url.lower().endswith(_COMPRESSED)]:
        raise ValueError(
            f"{redact(pattern)} holds {len(compressed)} compressed shards, for example {file_name(compressed[0])}; "
            "decompress them first, images do not get smaller (gunzip makes NAME.tar out of NAME.tar.gz)"
        )
    return [url for url in visible if is_tar_name(url)]


def _image_hint(url: str, names: set[str]) -> str:
    images = any(map(is_image_name, names)) or any(
        is_image_name(name)
        for folder in sorted(names)
        if storage.is_folder(inner := storage.join(url, folder))
        for name in storage.list_names(inner)
    )
    return f"; pack its images first: lit-adv pack {url} {url.rstrip('/')}-shards (--labels CSV)" if images else ""


def refuse_own_input(output: str, shards: Sequence[str]) -> None:
    """Make sure that nothing is written among the shards that are read, where names would be equal.

    Args:
        output: URL of the output folder.
        shards: URLs of the input shards.

    Raises:
        ValueError: If the folder is, whichever way it is named, the one that a shard is in.
    """
    local = {url: path for url in shards if not is_http(url) and (path := storage.local_path(url))}
    folders = {storage.folder_of(url): url for url in shards if not is_http(url)}
    folders |= {str(path.resolve().parent): url for url, path in local.items() if path.is_symlink()}
    for folder, shard in folders.items():
        if storage.is_same_folder(folder, output):
            raise ValueError(
                f"{redact(output)} is the folder of the input shard {redact(shard)}; the output has the same file "
                "names, so name another folder as output.path"
            )


def _check_names(urls: Sequence[str]) -> None:
    """Refuse shards whose output would collide."""
    named: dict[str, str] = {}
    for url in urls:
        name = shard_name(url)
        if name in _RESERVED or name.startswith(FAILURE_PREFIX):
            raise ValueError(f"the shard {redact(url)} cannot be named {name!r}, a name of the output's own; rename it")
        if name in named:
            raise ValueError(
                f"{redact(named[name])} and {redact(url)} have the same name, so their outputs would collide; "
                "rename one, or process them into two folders"
            )
        named[name] = url


def is_http(url: str) -> bool:
    """Tell whether a URL is that of a web server, which lists nothing."""
    return url.startswith(("http://", "https://"))
