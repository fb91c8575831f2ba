"""Reading a tar shard that is known to be whole.

Python's ``tarfile`` and webdataset both take a cut-off archive for a short one. Here all headers are read first,
and the two zero blocks that end an archive must be there, so a damaged shard is refused before any work is done.
Limits keep a shard that was made to harm from exhausting the memory.
"""

from __future__ import annotations

import re
import tarfile
from itertools import islice
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import BinaryIO, NamedTuple, cast

from lit_adv.shards.remote import redact

MAX_MEMBERS = 200_000  # an indexed member takes about a kilobyte of memory
MAX_MEMBER_BYTES = 256 * 2**20
_MAX_HEADER_BYTES = 2**20  # extended headers hold long names; tarfile reads them whole

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
        super().__init__(f"{redact(shard)}: {reason}")
        self.reason = reason


class SampleError(Exception):
    """A sample that cannot be used; the message is the reason."""


class IndexedSample(NamedTuple):
    """Where a sample's files lie in the shard.

    Attributes:
        key: The files' common name, up to the first dot of its last part.
        members: The tar members by lower-case extension.
    """

    key: str
    members: dict[str, TarInfo]


def index_samples(file: BinaryIO, shard: str, *, may_be_empty: bool = False) -> list[IndexedSample]:
    """Find all samples of a shard, and make sure that it is whole.

    Samples are grouped as webdataset does it: consecutive files with the same key make one sample. A file whose
    extension the sample has already begins another sample of the same key.

    Args:
        file: The shard, open for seeking.
        shard: Its name for error messages.
        may_be_empty: Whether a shard without samples is one.

    Returns:
        The samples in the shard's order.

    Raises:
        ShardError: If the shard is cut off, compressed, not a tar archive, holds what a shard must not hold, or more
            than :data:`MAX_MEMBERS` files, or one larger than :data:`MAX_MEMBER_BYTES`.
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
    if not samples and not may_be_empty:
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
        with tarfile.open(fileobj=cast(BinaryIO, _HeaderReader(file)), mode="r:") as archive:
            members = list(islice(archive, MAX_MEMBERS + 1))
            end = archive.offset
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive makes tarfile fail in any way
        raise ShardError(shard, _explain(file, error)) from error
    if len(members) > MAX_MEMBERS:
        raise ShardError(shard, f"it holds more than {MAX_MEMBERS} files; split it into several shards")
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
        if not 0 <= member.size <= MAX_MEMBER_BYTES:
            raise ShardError(
                shard, f"its file {member.name!r} claims {member.size} bytes; the limit is {MAX_MEMBER_BYTES}"
            )
    return [member for member in members if member.isreg()]


class _HeaderReader:
    """The part of a file object that tarfile needs to read headers, without room for oversized ones."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._file.read(size)


def _explain(file: BinaryIO, error: Exception) -> str:
    file.seek(0)
    head = file.read(8)
    if not head:
        return "it is empty (0 bytes)"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return f"it is compressed with {name}; decompress it first"
    return f"it is cut off or not a tar archive ({error})"
