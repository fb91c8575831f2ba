"""Which files of a tar archive make a sample.

The rule is webdataset's: files that stand next to each other and have the same name up to its first dot. Where that
rule would tear a sample apart or lose one, its intent is followed instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import NamedTuple

from lit_adv.shards.listing import is_image_extension

# webdataset's own two rules: what is metadata, and where a name ends and its extension begins.
_METADATA = re.compile(r"__[^/]*__($|/)")
_KEY_AND_EXTENSION = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")

# What macOS, Windows and storage boxes leave beside the files of their users.
_CLUTTER_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
_CLUTTER_FILES = {"thumbs.db", "desktop.ini"}

_DOTS_OF_AN_EXTENSION = 3  # more than those of clean.png; a name may hold a million


class IndexedSample(NamedTuple):
    """Where a sample's files lie in the shard.

    Attributes:
        key: The files' common name, valid UTF-8 and without dots in its last part.
        members: The tar members by lower-case extension.
    """

    key: str
    members: dict[str, TarInfo]


def is_content(name: str) -> bool:
    """Tell whether a file is neither webdataset's metadata, nor hidden, nor what a system leaves beside its files.

    Example:
        >>> [name for name in ("t/a.jpg", "t/._a.jpg", "t/.DS_Store", "__MACOSX/t/a.jpg") if is_content(name)]
        ['t/a.jpg']
    """
    *folders, last = PurePosixPath(name).parts or ("",)
    hidden = last.startswith(".") or last.lower() in _CLUTTER_FILES
    return not (hidden or _METADATA.match(name) or any(folder.lower() in _CLUTTER_FOLDERS for folder in folders))


def group_samples(members: Iterable[TarInfo]) -> list[IndexedSample]:
    """Group a shard's files.

    Consecutive files with the same key make a sample. A file whose extension the sample has already begins another one
    of the same key. Beyond webdataset's rule:

    - Parts of a sample that stand apart in the shard are joined, if none would be a sample alone.
    - ``a.b.jpg`` and ``a.b.cls`` are the sample ``a_b``, not two files of a sample ``a``. For webdataset's readers,
      keys hold no dots.
    - Bytes of a name that are not UTF-8 are written as in URLs, ``%E9``.

    Returns:
        The samples in the order of their first files; if parts were joined, those of the same key together.
    """
    parts: list[IndexedSample] = []
    for member in members:
        if (match := _KEY_AND_EXTENSION.fullmatch(member.name)) is None:
            continue
        key, extension = _to_text(match[1]), _to_text(match[2].lower())
        if not parts or parts[-1].key != key or extension in parts[-1].members:
            parts.append(IndexedSample(key, {}))
        parts[-1].members[extension] = member
    return [sample for part in _join(parts) for sample in _split(part)]


def _to_text(name: str) -> str:
    """Write bytes that are not UTF-8, which tarfile decodes to lone surrogates, as in URLs."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", name)


def _join(parts: Sequence[IndexedSample]) -> list[IndexedSample]:
    """Join the parts of samples whose files stand apart."""
    named: dict[str, list[IndexedSample]] = {}
    for part in parts:
        named.setdefault(part.key, []).append(part)
    joined: list[IndexedSample] = []
    for key, several in named.items():
        if len(several) > 1 and _are_parts([part.members for part in several]):
            joined.append(IndexedSample(key, {name: m for part in several for name, m in part.members.items()}))
        else:
            joined += several
    return joined if len(joined) < len(parts) else list(parts)


def _are_parts(several: Sequence[Mapping[str, TarInfo]]) -> bool:
    """Tell whether sets of files of the same key are parts of one sample: not one is a sample of its own."""
    images = [members for members in several if any(map(is_image_extension, members))]
    whole = any(_last(extension) == "cls" for members in images for extension in members)
    disjoint = sum(map(len, several)) == len({extension for members in several for extension in members})
    return disjoint and len(images) <= 1 and not whole


def _split(sample: IndexedSample) -> Iterator[IndexedSample]:
    """Yield samples of their own out of one: those that have an image and a label behind the same further dots."""
    labels = {"cls"} if "cls" in sample.members else {"cls", "json"}
    families: dict[str, set[str]] = {}
    for extension in sample.members:
        prefix, _, last = extension.rpartition(".")
        families.setdefault(prefix, set()).add(last)
    own = {
        prefix
        for prefix, lasts in families.items()
        if prefix and lasts & labels and any(map(is_image_extension, lasts))
    }
    split: dict[str, dict[str, TarInfo]] = {}
    for extension, member in sample.members.items():
        prefix = _owner(extension, own)
        split.setdefault(prefix, {})[extension.removeprefix(f"{prefix}.") if prefix else extension] = member
    for prefix, members in split.items():
        yield IndexedSample(f"{sample.key}_{prefix.replace('.', '_')}" if prefix else sample.key, members)


def _owner(extension: str, own: set[str]) -> str:
    prefix = extension
    for _ in range(_DOTS_OF_AN_EXTENSION if own else 0):
        prefix = prefix.rpartition(".")[0]
        if prefix in own:
            return prefix
    return ""


def _last(extension: str) -> str:
    return extension.rpartition(".")[2]
