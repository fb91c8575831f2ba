"""Reading a tar shard that is known to be whole.

Python's ``tarfile`` and webdataset both take a cut-off archive for a short one. Here all headers are read first,
and the two zero blocks that end an archive must be there, so a damaged shard is refused before any work is done.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import BinaryIO, NamedTuple

_END = bytes(2 * tarfile.BLOCKSIZE)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

# webdataset's own two rules: what is metadata, and where a name ends and its extension begins.
_METADATA = re.compile(r"__[^/]*__($|/)")
_KEY_AND_EXTENSION = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")


class ShardError(Exception):
    """A shard that cannot be used.

    Args:
        shard: Its name.
        reason: Why it cannot be used.
    """

    def __init__(self, shard: str, reason: str) -> None:
        super().__init__(f"{shard}: {reason}")
        self.reason = reason


class IndexedSample(NamedTuple):
    """Where a sample's files lie in the shard.

    Attributes:
        key: The files' common name, up to the first dot of its last part.
        members: The tar members by lower-case extension.
    """

    key: str
    members: dict[str, TarInfo]


def index_samples(file: BinaryIO, shard: str) -> list[IndexedSample]:
    """Find all samples of a shard, and make sure that it is whole.

    Samples are grouped as webdataset does it: consecutive files with the same key make one sample. A file whose
    extension the sample has already begins another sample of the same key.

    Args:
        file: The shard, open for seeking.
        shard: Its name for error messages.

    Returns:
        The samples in the shard's order, at least one.

    Raises:
        ShardError: If the shard is cut off, compressed, not a tar archive, or holds what a shard must not hold.
    """
    samples: list[IndexedSample] = []
    for member in _index_members(file, shard):
        match = _KEY_AND_EXTENSION.fullmatch(member.name)
        if match is None or _METADATA.match(member.name):
            continue
        key, extension = match[1], match[2].lower()
        if not samples or samples[-1].key != key or extension in samples[-1].members:
            samples.append(IndexedSample(key, {}))
        samples[-1].members[extension] = member
    if not samples:
        raise ShardError(shard, "it holds no samples")
    return samples


def read_sample(file: BinaryIO, sample: IndexedSample) -> dict[str, bytes]:
    """Return a sample's files by extension."""
    files: dict[str, bytes] = {}
    for extension, member in sample.members.items():
        file.seek(member.offset_data)
        files[extension] = file.read(member.size)
    return files


def _index_members(file: BinaryIO, shard: str) -> list[TarInfo]:
    """Return the regular files of an archive that is whole."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            members = archive.getmembers()
            end = archive.offset
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise ShardError(shard, _explain(file, error)) from error
    file.seek(end)
    if file.read(len(_END)) != _END:
        raise ShardError(shard, f"it is cut off or damaged: no end of archive after {len(members)} files")
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ShardError(shard, f"the name of its file {member.name!r} leads out of the archive")
        if not member.isdir() and (not member.isreg() or member.issparse()):
            raise ShardError(
                shard, f"its member {member.name!r} is not a plain file; write it with tar --hard-dereference -h"
            )
    return [member for member in members if member.isreg()]


def _explain(file: BinaryIO, error: Exception) -> str:
    file.seek(0)
    head = file.read(8)
    if not head:
        return "it is empty (0 bytes)"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return f"it is compressed with {name}; decompress it first"
    return f"it is cut off or not a tar archive ({error})"
