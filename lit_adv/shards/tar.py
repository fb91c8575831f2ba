"""Reading a tar shard that is known to be whole.

Python's ``tarfile`` and webdataset both take a cut-off archive for a short one. Here all headers are read first,
and the two zero blocks that end an archive must be there, so a damaged shard is refused before any work is done.
Limits keep a shard that was made to harm from exhausting the memory.
"""

from __future__ import annotations

import tarfile
from itertools import islice
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import BinaryIO, cast

from lit_adv.errors import MendableError
from lit_adv.shards.grouping import IndexedSample, group_samples, is_content
from lit_adv.shards.listing import is_image_name
from lit_adv.shards.remote import redact

MAX_MEMBERS = 200_000  # an indexed member takes about a kilobyte of memory
MAX_MEMBER_BYTES = 256 * 2**20
_MAX_HEADER_BYTES = 2**20  # extended headers hold long names; tarfile reads them whole

_END = bytes(2 * tarfile.BLOCKSIZE)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_CHUNK = 2**20


class ShardError(MendableError):
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


def index_samples(file: BinaryIO, shard: str) -> list[IndexedSample]:
    """Find all samples of a shard, and make sure that it is whole.

    What the files are grouped by, see :func:`lit_adv.shards.grouping.group_samples`. Hidden files and what systems
    leave beside them (``._a.jpg``, ``.DS_Store``, ``__MACOSX/``, ``Thumbs.db``) are passed over.

    Args:
        file: The shard, open for seeking.
        shard: Its name for error messages.

    Returns:
        The samples in the shard's order; none for an archive without files, or with such as no sample is made of.

    Raises:
        ShardError: If the shard is cut off, compressed, not a tar archive, or followed by something, if it holds what a
            shard must not hold, no sample though there are images, labels or other files, more than :data:`MAX_MEMBERS`
            files, or one larger than :data:`MAX_MEMBER_BYTES`.
    """
    members = _index_members(file, shard)
    content = [member for member in members if is_content(member.name)]
    samples = group_samples(content)
    if content and not samples:
        raise ShardError(
            shard, f"it holds no samples: none of its files is named KEY.EXTENSION, for example {content[0].name!r}"
        )
    if not samples and (lost := [member.name for member in members if _is_of_a_sample(member.name)]):
        raise ShardError(
            shard,
            f"it holds no samples: all its files have names that are passed over, such as {lost[0]!r}; rename what is "
            "hidden (.NAME) or in a folder like __NAME__",
        )
    return samples


def read_sample(file: BinaryIO, sample: IndexedSample) -> dict[str, bytes]:
    """Return a sample's files by extension."""
    files: dict[str, bytes] = {}
    for extension, member in sample.members.items():
        file.seek(member.offset_data)
        files[extension] = file.read(member.size)
    return files


def _is_of_a_sample(name: str) -> bool:
    return is_image_name(name) or name.lower().endswith(".cls")


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
    _check_rest(file, shard, len(members))
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


def _check_rest(file: BinaryIO, shard: str, members: int) -> None:
    """Refuse what other tools would pass over in silence: whatever but zeros follows the end of the archive."""
    while chunk := file.read(_CHUNK):
        if chunk.strip(b"\0"):
            raise ShardError(
                shard,
                f"other data follows the end of the archive ({members} files), as when tar files are joined with cat; "
                "keep them apart, or unpack it with tar --ignore-zeros and pack the files again",
            )
    if not members and file.tell() > _CHUNK:
        raise ShardError(shard, f"it holds {file.tell()} zero bytes and no file, as if it had never been written")


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
