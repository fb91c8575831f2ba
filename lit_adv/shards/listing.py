"""From what a user writes (a pattern, a list, a folder) to the list of shards it means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from braceexpand import braceexpand

from lit_adv.shards import storage
from lit_adv.shards.remote import open_filesystem, redact

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")

# Names that the output folder keeps for itself: a shard of that name would have its sidecar there.
_RESERVED = {"job", "manifest", "_info"}


def shard_name(url: str) -> str:
    """Return the name under which everything about a shard is filed.

    Example:
        >>> shard_name("s3://bucket/train/imagenet-000017.tar")
        'imagenet-000017'
        >>> shard_name("https://host/a.tar?signature=x/y")
        'a'
    """
    return file_name(url).removesuffix(".tar")


def file_name(url: str) -> str:
    """Return the last part of a URL's path."""
    return PurePosixPath(urlsplit(url).path if is_http(url) else url).name


def is_image_name(name: str) -> bool:
    """Tell whether a file's name is that of an image."""
    return PurePosixPath(name).suffix.lower().removeprefix(".") in IMAGE_EXTENSIONS


def list_shards(shards: str | Sequence[str]) -> list[str]:
    """List the shards that a pattern, a list or a folder stands for.

    Args:
        shards: A tar file, a brace pattern (``train-{000000..000099}.tar``), a glob, a folder of tar files, or a
            list of these; local, or remote with any scheme that fsspec knows.

    Returns:
        The shards' URLs, each at least one, in the order given; a glob or a folder in the order of names.

    Raises:
        FileNotFoundError: If a pattern matches nothing or a shard is missing.
        ValueError: If two shards have the same name, or a URL is of a kind that is refused.
    """
    patterns = [shards] if isinstance(shards, str) else list(shards)
    names_of = cache(storage.list_names)
    found: list[str] = []
    for pattern in patterns:
        if pattern.startswith("pipe:"):
            raise ValueError(f"{pattern!r} would run a shell command; name the shards by path or URL instead")
        for url in braceexpand(pattern):
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


def _expand(url: str) -> list[str]:
    """Expand a glob or a folder; anything else is a shard."""
    if any(character in url for character in "*?["):
        matches = storage.expand_glob(url)
        if not matches:
            raise FileNotFoundError(f"no file matches {redact(url)!r}; correct the pattern of the shards")
        return matches
    if not storage.is_folder(url):
        return [url]
    names = storage.list_names(url)
    tars = sorted(name for name in names if name.endswith(".tar"))
    if not tars:
        raise FileNotFoundError(f"the folder {redact(url)} holds no .tar files{_image_hint(url, names)}")
    return [storage.join(url, name) for name in tars]


def _image_hint(url: str, names: set[str]) -> str:
    images = any(map(is_image_name, names)) or any(
        is_image_name(name)
        for folder in sorted(names)
        if storage.is_folder(inner := storage.join(url, folder))
        for name in storage.list_names(inner)
    )
    return f"; pack its images first: lit-adv pack {url} {url.rstrip('/')}-shards (--labels CSV)" if images else ""


def _check_names(urls: Sequence[str]) -> None:
    """Refuse shards whose output would collide."""
    named: dict[str, str] = {}
    for url in urls:
        name = shard_name(url)
        if name in _RESERVED:
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
