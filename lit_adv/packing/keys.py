"""The keys of packed samples."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

TARGET_FIELD = "target_label"  # of a packed sample's json file

_LONGEST = 72  # with a hash behind it, it leaves room for an extension in a plain tar header's 100 bytes


class LabeledImage(NamedTuple):
    """An image file to pack.

    Attributes:
        path: The file.
        key: Its sample's key: ASCII, without dots and slashes, unique.
        label: Class index.
        target: The class that an attack is to aim at; None if the data names none.
    """

    path: Path
    key: str
    label: int
    target: int | None = None


class Labeled(NamedTuple):
    """An image file without a key as yet; see :class:`LabeledImage`."""

    path: Path
    label: int
    target: int | None = None


def with_keys(folder: Path, labeled: Sequence[Labeled]) -> list[LabeledImage]:
    """Give each image a key made from its path; where two would be equal, or too long, a hash tells them apart.

    Args:
        folder: The folder in which all images lie.
        labeled: The images.

    Raises:
        ValueError: If an image is labeled twice, or lies outside of the folder.
    """
    start = os.path.abspath(folder)  # noqa: PTH100 - which takes out "..", and links as they are
    names = [_name(start, path) for path, _, _ in labeled]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is labeled twice")
    return [
        LabeledImage(path, key, label, target) for key, (path, label, target) in zip(_keys(names), labeled, strict=True)
    ]


def plain(text: str) -> str:
    """Return a text with an underscore for each character that is not safe in every file name.

    Example:
        >>> plain("n01/a b.v2")
        'n01_a_b_v2'
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def hashed(text: str, name: str) -> str:
    """Return a plain text that is told from others by a hash of ``name``, at most 89 characters long."""
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"{plain(text)[:_LONGEST]}-{digest}"


def _name(folder: str, path: Path) -> str:
    try:
        return Path(os.path.abspath(path)).relative_to(folder).as_posix()  # noqa: PTH100
    except ValueError:
        raise ValueError(f"{path} lies outside of {folder}; give the folder that holds all images") from None


def _keys(names: Sequence[str]) -> Iterator[str]:
    stems = [name.rpartition(".")[0] for name in names]
    uses = Counter(map(plain, stems))
    for name, stem in zip(names, stems, strict=True):
        key = plain(stem)
        yield key if uses[key] == 1 and len(key) <= _LONGEST else hashed(stem, name)
